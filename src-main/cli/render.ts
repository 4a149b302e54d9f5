import { mkdtemp, rm } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { basename, extname, join, resolve } from 'node:path';
import { Command } from 'commander';
import {
  fits,
  presetIds,
  solvers,
  type Project,
  type Range,
  type Sampler,
} from '../core/contract/project.ts';
import { PusaError } from '../core/errors.ts';
import { planRange } from '../core/plan/range.ts';
import { planTable } from '../core/plan/table.ts';
import { parseMarks } from '../core/timeline/parse-marks.ts';
import { preflight, type Warning } from '../core/timeline/preflight.ts';
import { createSupervisor } from '../engine/supervisor.ts';
import { nodeFork } from '../engine/transport.ts';
import type { ModelPackage } from '../engine/weights/package.ts';
import { planOutput } from '../media/output.ts';
import { freezeJob, type FindMedia } from '../studio/freeze.ts';
import { defaultDataFolder } from '../studio/data-folder.ts';
import { deviceMemory } from '../studio/device-memory.ts';
import { findModel } from '../studio/model-shelf.ts';
import { openProjectMedia } from '../studio/open-project.ts';
import { findPlaces, type Places } from '../studio/places.ts';
import { projectOfFiles, type ProjectWish } from '../studio/project-from-files.ts';
import { holdsJob, removeJob, renderJob } from '../studio/render.ts';
import { keyframe, number, oneOf, rangeLength, size, whole } from './options.ts';
import { listenToKeys } from './keys.ts';
import { formatSeconds, ProgressBar } from './terminal.ts';

interface RenderOptions {
  readonly image?: string;
  readonly video?: string;
  readonly endImage?: string;
  readonly endVideo?: string;
  readonly keyframe: ProjectWish['keyframes'];
  readonly fit?: ProjectWish['fit'];
  readonly prompt?: string;
  readonly negativePrompt?: string;
  readonly preset?: ProjectWish['preset'];
  readonly marks?: string;
  readonly steps?: number;
  readonly cfg?: number;
  readonly shift?: number;
  readonly seed?: number;
  readonly loraStrength?: number;
  readonly solver?: Sampler['solver'];
  readonly size?: { width: number; height: number };
  readonly fps?: number;
  readonly frames?: number;
  readonly range?: string;
  readonly model?: string;
  readonly dryRun?: true;
  readonly json?: true;
  readonly resume?: true;
  readonly keepJob?: true;
}

/** `render`: from a project or from files to a video, without a window. */
export function renderCommand(): Command {
  return new Command('render')
    .description('Generate a video from a .pusa project, or from pictures and clips named by options.')
    .usage('[PROJECT.pusa] OUTPUT [options]')
    .argument(
      '<paths...>',
      'a project (optional) and the file to write: .mp4, .webm, .gif, or .png for a sequence',
    )
    .option('--image <file>', 'picture of the first frame')
    .option('--video <file>', 'clip at the start')
    .option('--end-image <file>', 'picture of the last frames')
    .option('--end-video <file>', 'clip at the end, for a transition')
    .option('--keyframe <frame=file>', 'picture at a frame; may be given several times', keyframe, [])
    .option('--fit <way>', `bring sources to the size: ${fits.join(', ')} (crop if left out)`, oneOf(fits))
    .option('-p, --prompt <text>', 'what should be seen')
    .option('--negative-prompt <text>', 'what should not')
    .option('--preset <name>', presetIds.join(', '), oneOf(presetIds))
    .option(
      '--marks <list>',
      'marks in place of the preset’s: FRAME=VALUE or FIRST-LAST=VALUE, with commas; VALUE is fixed, noisy, auto or the noise multiplier',
    )
    .option('--steps <n>', 'denoising steps', whole(1, 200))
    .option('--cfg <n>', 'classifier-free guidance; 1 skips the negative prompt', number(0, 30))
    .option('--shift <n>', 'shift of the noise schedule', number(0.1, 50))
    .option('--seed <n>', 'the same seed makes the same video', whole(0, 4_294_967_295))
    .option('--lora-strength <n>', 'strength of the Pusa LoRA', number(0, 4))
    .option('--solver <name>', `${solvers.join(', ')}; the last two only without sources`, oneOf(solvers))
    .option('--size <WxH>', 'size in pixels, multiples of 16, of 32 for TI2V 5B', size)
    .option('--fps <n>', 'frames per second', number(1, 240))
    .option('--frames <4n+1>', 'length', rangeLength)
    .option('--range <id>', 'which range of the project to generate; the first if left out')
    .option('--model <id>', 'model package')
    .option('--dry-run', 'print the plan, a table of timesteps, and stop')
    .option('--json', 'print events as lines of JSON')
    .option('--resume', 'go on with a render of the same output that was stopped')
    .option('--keep-job', 'keep the working folder OUTPUT.job')
    .addHelpText(
      'after',
      `
Examples:
  A project:            pusa render scene.pusa scene.mp4
  A picture moves:      pusa render out.mp4 --image boat.png --prompt "the boat sails to the right"
  From one to another:  pusa render out.mp4 --image dawn.png --end-image noon.png
  A clip goes on:       pusa render out.mp4 --video walk.mp4 --prompt "she walks on"
  A way between clips:  pusa render out.mp4 --video a.mp4 --end-video b.mp4
  See the plan first:   pusa render out.mp4 --image boat.png --dry-run

While it runs, k stops and keeps what there is, Ctrl-C cancels; a cancelled or crashed render goes on with --resume.`,
    )
    .action((paths: string[], options: RenderOptions) => render(paths, options));
}

interface Work {
  readonly project: Project;
  readonly range: Range;
  readonly model: ModelPackage;
  readonly findMedia: FindMedia;
  readonly close: () => void;
}

async function render(paths: readonly string[], options: RenderOptions): Promise<void> {
  const { projectPath, output } = readPaths(paths, options.dryRun === true);
  const places = findPlaces();
  const workFolder = await mkdtemp(join(tmpdir(), 'pusa-render-'));
  try {
    const work =
      projectPath === null
        ? await workOfFiles(options, places, output)
        : await workOfProject(projectPath, workFolder, options, places);
    try {
      for (const { code, text } of warningsOf(work)) {
        if (options.json === true) print({ event: 'warning', code, text });
        else process.stderr.write(`Note: ${text}\n`);
      }
      if (options.dryRun === true) printPlan(work, options.json === true);
      else await run(work, places, output, options);
    } finally {
      work.close();
    }
  } finally {
    await rm(workFolder, { recursive: true, force: true });
  }
}

/** A project comes first and is told by its ending; a dry run needs no output. */
function readPaths(
  [first = '', second, ...more]: readonly string[],
  isDryRun: boolean,
): { projectPath: string | null; output: string } {
  if (more.length === 0) {
    const isProject = extname(first).toLowerCase() === '.pusa';
    if (!isProject && second === undefined) return { projectPath: null, output: resolve(first) };
    if (isProject && (second !== undefined || isDryRun)) {
      return { projectPath: first, output: resolve(second ?? '') };
    }
  }
  throw new PusaError(
    'USAGE',
    'A render takes OUTPUT, or PROJECT.pusa and OUTPUT.',
    'Run "pusa render --help" to see examples.',
  );
}

async function workOfProject(
  path: string,
  folder: string,
  options: RenderOptions,
  places: Places,
): Promise<Work> {
  refuseFileOptions(options);
  const { project, findMedia, close } = await openProjectMedia(path, folder);
  try {
    const range = rangeOf(project, options.range);
    const model = await findModel(defaultDataFolder(), places, options.model ?? range.model ?? undefined);
    return {
      project,
      range: {
        ...range,
        marks: options.marks === undefined ? range.marks : parseMarks(options.marks, range.frames),
        prompt: options.prompt ?? range.prompt,
        negativePrompt: options.negativePrompt ?? range.negativePrompt,
        sampler: { ...range.sampler, ...samplerOf(options) },
      },
      model,
      findMedia,
      close,
    };
  } catch (thrown) {
    close();
    throw thrown;
  }
}

/** A project brings its files, size and task: an option that would be ignored is refused. */
function refuseFileOptions(options: RenderOptions): void {
  const { image, video, endImage, endVideo, preset, size: wantedSize, fps, frames, fit } = options;
  const given = Object.entries({
    '--image': image,
    '--video': video,
    '--end-image': endImage,
    '--end-video': endVideo,
    '--keyframe': options.keyframe.length > 0 ? options.keyframe : undefined,
    '--preset': preset,
    '--size': wantedSize,
    '--fps': fps,
    '--frames': frames,
    '--fit': fit,
  }).find(([, value]) => value !== undefined);
  if (given === undefined) return;
  throw new PusaError(
    'USAGE',
    `The option ${given[0]} says what the project says already.`,
    'Leave it out, or name the files without the project.',
  );
}

function rangeOf(project: Project, id: string | undefined): Range {
  const range = id === undefined ? project.ranges[0] : project.ranges.find((each) => each.id === id);
  if (range !== undefined) return range;
  throw new PusaError(
    'PROJECT_INVALID',
    id === undefined ? 'The project has no range to generate.' : `The project has no range "${id}".`,
    `Its ranges are: ${project.ranges.map((each) => each.id).join(', ') || 'none'}.`,
  );
}

async function workOfFiles(options: RenderOptions, places: Places, output: string): Promise<Work> {
  const model = await findModel(defaultDataFolder(), places, options.model);
  const { native, recommended } = model.manifest;
  const work = await projectOfFiles({
    name: basename(output, extname(output)),
    image: options.image,
    video: options.video,
    endImage: options.endImage,
    endVideo: options.endVideo,
    keyframes: options.keyframe,
    fit: options.fit ?? 'crop',
    width: options.size?.width ?? native.width,
    height: options.size?.height ?? native.height,
    fps: options.fps ?? native.fps,
    frames: options.frames ?? native.frames,
    preset: options.preset,
    marks: options.marks,
    prompt: options.prompt ?? '',
    negativePrompt: options.negativePrompt,
    sampler: samplerOf(options),
    recommended,
  });
  return { ...work, model, close: () => undefined };
}

/** The sampler values named on the command line, and only those. */
function samplerOf(options: RenderOptions): Partial<Sampler> {
  const { steps, cfg, shift, seed, loraStrength, solver } = options;
  return Object.fromEntries(
    Object.entries({ steps, cfg, shift, seed, loraStrength, solver }).filter(
      ([, value]) => value !== undefined,
    ),
  );
}

/** What a person should know before waiting: resampling, cropping, a static end. */
function warningsOf({ project, range, model }: Work): Warning[] {
  const { cells, sources } = planRange(project, range);
  return preflight({ project, range, cells, sources, trainedFrames: model.manifest.native.frames });
}

function printPlan({ project, range }: Work, asJson: boolean): void {
  const { plan } = planRange(project, range);
  process.stdout.write(asJson ? `${JSON.stringify(plan)}\n` : planTable(plan, process.stdout.columns || 120));
}

function print(event: object): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

async function run(
  { project, range, model, findMedia }: Work,
  places: Places,
  output: string,
  options: RenderOptions,
): Promise<void> {
  // Refused now rather than after the work.
  await planOutput(output, project);
  const jobFolder = `${output}.job`;
  if (!(await prepareJob(jobFolder, options.resume === true))) {
    await freezeJob(project, range, model.manifest, findMedia, jobFolder, randomUUID());
  }
  const memory = deviceMemory(defaultDataFolder());
  const supervisor = createSupervisor({ entry: places.engineEntry, fork: nodeFork(), memory });
  const cancel = new AbortController();
  const bar = new ProgressBar(process.stderr);
  const stopListening = listenToKeys({ onCancel: () => cancel.abort(), onKeep: () => supervisor.keep() });
  const started = performance.now();
  try {
    const { take, notes } = await renderJob(supervisor, jobFolder, model.folder, output, {
      onProgress: (progress) => {
        if (options.json === true) print({ event: 'progress', ...progress });
        else bar.show(progress);
      },
      signal: cancel.signal,
    });
    bar.end();
    const seconds = (performance.now() - started) / 1000;
    if (options.json === true) print({ event: 'done', output, seconds, notes, take });
    else {
      for (const { text } of notes) process.stderr.write(`${text}\n`);
      process.stderr.write(
        `${output}\n${take.plan.frames} frames of ${take.width} × ${take.height}${take.partial ? ', stopped early' : ''}, seed ${take.sampler.seed}, ${formatSeconds(seconds)} on ${take.provider}.\n`,
      );
    }
    if (options.keepJob !== true) await removeJob(jobFolder);
  } finally {
    bar.end();
    stopListening();
    await supervisor.close();
  }
}

/** @returns whether the folder holds a job to go on with */
async function prepareJob(folder: string, resume: boolean): Promise<boolean> {
  const isThere = await holdsJob(folder);
  if (resume && !isThere) {
    throw new PusaError(
      'JOB_INVALID',
      'There is no stopped render of this output.',
      'Start it without --resume.',
    );
  }
  if (!resume) await removeJob(folder);
  return isThere && resume;
}
