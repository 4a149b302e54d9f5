import { readFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { basename, extname } from 'node:path';
import { Command } from 'commander';
import type { Take } from '../core/contract/job.ts';
import { planTable } from '../core/plan/table.ts';
import { writePusaFile } from '../library/pusa-file.ts';
import { projectOfTake } from '../studio/project-of-take.ts';
import { takeOfFile } from '../studio/read-take.ts';

interface InfoOptions {
  readonly json?: true;
  readonly project?: string;
}

/** `info`: what a rendered file says about how it was made. */
export function infoCommand(): Command {
  return new Command('info')
    .description('Print the seed, plan, prompt and model that a rendered file was made with.')
    .argument('<file>', 'an mp4, webm, gif or png made by Pusa Studio')
    .option('--json', 'print them as JSON')
    .option('--project <file.pusa>', 'make a project of them; its frames come from the file itself')
    .action(info);
}

async function info(file: string, options: InfoOptions): Promise<void> {
  const take = await takeOfFile(file);
  process.stdout.write(options.json === true ? `${JSON.stringify(take)}\n` : describe(take));
  if (options.project === undefined) return;
  const project = await projectOfTake(take, file, basename(file, extname(file)), randomUUID());
  await writePusaFile(options.project, {
    project,
    media: project.assets.map(({ hash }) => ({ hash, open: () => readWhole(file) })),
    takes: [],
  });
  process.stderr.write(`${options.project}\n`);
}

async function* readWhole(path: string): AsyncGenerator<Uint8Array> {
  yield await readFile(path);
}

function describe(take: Take): string {
  const { sampler } = take;
  const rows: [string, string][] = [
    ['Prompt', take.prompt === '' ? '(none)' : take.prompt],
    ['Without', take.negativePrompt === '' ? '(none)' : take.negativePrompt],
    ['Seed', String(sampler.seed)],
    ['Sampler', `${sampler.solver}, ${sampler.steps} steps, CFG ${sampler.cfg}, shift ${sampler.shift}`],
    ['Pusa LoRA', `strength ${sampler.loraStrength}`],
    ['Size', `${take.width} × ${take.height}, ${take.plan.frames} frames, ${take.fps} fps`],
    ['Model', `${take.model.id} (${take.model.hash.slice(0, 12)}…)`],
    [
      'Made',
      `${take.createdAt} by ${take.software} on ${take.provider}${take.partial ? ', stopped early' : ''}`,
    ],
  ];
  const lines = rows.map(([label, value]) => `${label.padEnd(10)} ${value}`);
  return `${lines.join('\n')}\n\n${planTable(take.plan, process.stdout.columns || 120)}`;
}
