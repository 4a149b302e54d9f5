/**
 * Runs cases in a process of its own, because a broken file may take SQLite's or libvips's process with it. Says
 * which case begins before it begins, so that the parent knows which one it died of.
 * Arguments: the order as JSON, an empty folder, the number of the first case to run.
 */
import { readFileSync } from 'node:fs';
import { errorCodes, PusaError } from '../../src-main/core/errors.ts';
import { casesOf, type Order } from './cases.ts';
import { WronglyAccepted, type Mutant } from './mutate.ts';

export type Outcome =
  | { readonly is: 'refused'; readonly code: string; readonly message: string }
  | { readonly is: 'accepted'; readonly because: string }
  | { readonly is: 'failed'; readonly because: string };

export type Message =
  | {
      readonly begins: number;
      readonly sound: boolean;
      readonly target: string;
      readonly field: string;
      readonly change: string;
    }
  | { readonly ends: number; readonly outcome: Outcome };

/** What reading one input may take of memory, used or only asked for. */
const mostBytes = 2 ** 30;

const sentence = /^[\p{Lu}"“\d][^]*[.?!][)”"]?$/u;

/** The most memory that this process had at any time so far, in bytes; on Linux also what was never touched. */
function peakBytes(): number {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS * 1024;
  return Number(/VmPeak:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024;
}

async function run(mutant: Mutant): Promise<Outcome> {
  const before = peakBytes();
  const outcome = await feed(mutant);
  const taken = peakBytes() - before;
  if (taken <= mostBytes || outcome.is === 'failed') return outcome;
  return { is: 'failed', because: `took ${Math.round(taken / 2 ** 20)} MiB of memory` };
}

async function feed(mutant: Mutant): Promise<Outcome> {
  try {
    const because = await mutant.feed();
    return mutant.mustRefuse
      ? { is: 'failed', because: `accepted, though it cannot be right (${because})` }
      : { is: 'accepted', because };
  } catch (thrown) {
    if (thrown instanceof WronglyAccepted)
      return { is: 'failed', because: `accepted, but ${thrown.message}` };
    if (!(thrown instanceof PusaError)) return { is: 'failed', because: `threw ${String(thrown)}` };
    const { code, message, remedy } = thrown;
    if (code === 'INTERNAL' || !errorCodes.includes(code))
      return { is: 'failed', because: `refused as ${code}: ${message}` };
    if (!sentence.test(message) || !sentence.test(remedy) || message.length > 1000) {
      return { is: 'failed', because: `refused without a sentence: ${message} ${remedy}` };
    }
    return { is: 'refused', code, message };
  }
}

const [order = '', folder = '', first = '0'] = process.argv.slice(2);
const send = (message: Message): Promise<void> =>
  new Promise((resolve, reject) => {
    process.send!(message, (error: Error | null) => (error ? reject(error) : resolve()));
  });

let index = 0;
for await (const { target, sound, mutant } of casesOf(JSON.parse(order) as Order, folder)) {
  if (index >= Number(first)) {
    await send({ begins: index, sound, target, field: mutant.field, change: mutant.change });
    await send({ ends: index, outcome: await run(mutant) });
  }
  index++;
}
process.disconnect();
