import type { Phase } from '../../src-main/core/contract/job.ts';
import { parseEngineMessage } from '../../src-main/engine/protocol.ts';
import type { ForkEngine } from '../../src-main/engine/transport.ts';

/** Phases in which a render spends its time. */
export const killPhases = ['text', 'sources', 'denoise', 'decode'] as const satisfies readonly Phase[];
export type KillPhase = (typeof killPhases)[number];

/** Units of work in each phase of a job. */
export type PhaseUnits = Readonly<Record<KillPhase, number>>;

/** When to end an engine: as soon as it says that so many units of a phase are done, and some milliseconds later. */
export interface Kill {
  readonly phase: KillPhase;
  readonly done: number;
  readonly delayMs: number;
}

/**
 * Engines that end by SIGKILL at given points, in this order and one for each process started; once all are spent
 * they live.
 */
export function killing(
  fork: ForkEngine,
  kills: readonly Kill[],
): { fork: ForkEngine; killed: () => number } {
  let next = 0;
  return {
    killed: () => next,
    fork: (entry) => {
      const child = fork(entry);
      let armed = true;
      child.onMessage((value) => {
        const kill = kills[next];
        const message = parseEngineMessage(value);
        if (!armed || kill === undefined || message.type !== 'progress') return;
        if (message.progress.phase !== kill.phase || message.progress.done < kill.done) return;
        armed = false;
        next++;
        setTimeout(() => child.kill(), kill.delayMs);
      });
      return child;
    },
  };
}

/** A random point in a phase: before its last unit is done, and up to so many milliseconds after a message. */
export function pointIn(phase: KillPhase, units: PhaseUnits, random: (below: number) => number): Kill {
  const milliseconds = { text: 20, sources: 80, denoise: 8, decode: 80 };
  return { phase, done: random(units[phase]), delayMs: random(milliseconds[phase]) };
}

/** A small generator (mulberry32), so that random points are the same each time. */
export function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}
