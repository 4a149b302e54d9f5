import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Random, type Mutant, type Target } from './mutate.ts';
import { faults } from './targets/faults.ts';
import { gguf } from './targets/gguf.ts';
import { jobs } from './targets/job.ts';
import { pictures } from './targets/pictures.ts';
import { projects } from './targets/project.ts';
import { pusaFiles } from './targets/pusa.ts';
import { weights } from './targets/safetensors.ts';
import { tokenizers } from './targets/spiece.ts';
import { torchZips } from './targets/torch.ts';
import { videos } from './targets/videos.ts';

/** Which cases to run: the same order gives the same cases. */
export interface Order {
  readonly seed: number;
  readonly count: number;
  /**
   * `inputs`: everything that comes from outside, `checkpoints`: weights in all formats; `faults`: what a broken reader
   * does, to try the runner itself.
   */
  readonly of: keyof typeof targetsOf;
}

const targetsOf = {
  inputs: [pusaFiles, projects, pictures, videos, jobs, weights, tokenizers],
  checkpoints: [weights, gguf, torchZips],
  faults: [faults],
} as const satisfies Record<string, readonly Target[]>;

export interface Case {
  readonly target: string;
  /** The input nothing was changed in. */
  readonly sound: boolean;
  readonly mutant: Mutant;
}

/**
 * The cases of an order, one after another: first each target's sound input, which must be accepted and is not
 * counted, then `count` mutants, no two alike.
 * @param folder empty; each target gets one of its own in it
 */
export async function* casesOf({ seed, count, of }: Order, folder: string): AsyncGenerator<Case> {
  const random = new Random(seed);
  const targets: readonly Target[] = targetsOf[of];
  const round = targets.flatMap((target) => Array.from({ length: target.share }, () => target));
  const prepared = new Map<Target, Awaited<ReturnType<Target['prepare']>>>();
  for (const target of targets) {
    const own = join(folder, String(prepared.size));
    await mkdir(own);
    const ready = await target.prepare(own);
    prepared.set(target, ready);
    yield { target: target.name, sound: true, mutant: ready.sound };
  }
  const drawn = new Map<Target, number>();
  const seen = new Set<string>();
  for (let done = 0; done < count;) {
    const target = round[done % round.length]!;
    const index = drawn.get(target) ?? 0;
    drawn.set(target, index + 1);
    const mutant = await prepared.get(target)!.draw(random, index);
    const name = `${target.name}: ${mutant.field}: ${mutant.change}`;
    // A target with few ways left may repeat itself, after so many draws.
    if (seen.has(name) && index < 20 * count) continue;
    seen.add(name);
    done++;
    yield { target: target.name, sound: false, mutant };
  }
}
