import { readFileSync } from 'node:fs';
import { open, readFile, rm } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { z } from 'zod';
import { PusaError, toPusaError } from '../../core/errors.ts';

const processSchema = z.strictObject({ pid: z.int().min(1), started: z.string() });
const ownerSchema = z.strictObject({ ...processSchema.shape, host: processSchema });
type ProcessMark = z.infer<typeof processSchema>;

/** How long an engine whose host was killed is waited for: it lets go at its next segment. */
const patienceMs = 10_000;

/** How long an empty lock file may be one that another process is just making. */
const makingMs = 1000;

/**
 * Takes a folder's lock file, so that two engines never write to one job. A lock whose process is gone is taken
 * over; one whose process has lost its host is waited for.
 * @returns releases the lock
 * @throws PusaError JOB_BUSY
 */
export async function lockFolder(path: string): Promise<() => Promise<void>> {
  const owner = { ...markOf(process.pid), host: markOf(process.ppid) };
  const start = performance.now();
  for (;;) {
    try {
      const handle = await open(path, 'wx');
      await handle.writeFile(JSON.stringify(owner));
      await handle.close();
      return () => rm(path, { force: true });
    } catch (thrown) {
      if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST')) {
        await rm(path, { force: true }).catch(() => undefined);
        throw toPusaError(thrown);
      }
    }
    const holder = await holderOf(path);
    const waited = performance.now() - start;
    if (holder === 'gone' || (holder === 'nobody' && waited >= makingMs)) await rm(path, { force: true });
    else if (holder === 'nobody' || (holder === 'orphan' && waited < patienceMs)) await setTimeout(100);
    else break;
  }
  throw new PusaError(
    'JOB_BUSY',
    'Another process is working on this job.',
    'Wait until it has finished, or end it, and try again.',
  );
}

/** `nobody`: no name is in it, or not yet. */
async function holderOf(path: string): Promise<'nobody' | 'gone' | 'orphan' | 'working'> {
  const text = await readFile(path, 'utf8').catch(() => '');
  if (text === '') return 'nobody';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return 'gone';
  }
  const owner = ownerSchema.safeParse(value);
  if (!owner.success || owner.data.pid === process.pid || !lives(owner.data)) return 'gone';
  return lives(owner.data.host) ? 'working' : 'orphan';
}

function markOf(pid: number): ProcessMark {
  return { pid, started: startOf(pid) ?? '' };
}

function lives({ pid, started: known }: ProcessMark): boolean {
  try {
    process.kill(pid, 0);
  } catch (thrown) {
    // EPERM: it lives, but belongs to somebody else.
    return thrown instanceof Error && 'code' in thrown && thrown.code === 'EPERM';
  }
  // The number may have been given to a new process since; its start tells.
  const started = startOf(pid);
  return started === null || known === '' || started === known;
}

/** When a process started, in a form only good for comparing; null where the system does not say (not Linux). */
function startOf(pid: number): string | null {
  if (process.platform !== 'linux') return null;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Field 22; the second field, the name, may contain spaces and ends with the last parenthesis.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}
