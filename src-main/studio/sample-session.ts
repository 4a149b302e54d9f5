import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import type { Progress, Plan } from '../core/contract/job.ts';
import type { PageState } from '../core/contract/page.ts';
import type { Project, Range } from '../core/contract/project.ts';
import { PusaError, toPusaError } from '../core/errors.ts';
import { planRange } from '../core/plan/range.ts';
import type { Preview } from '../engine/protocol.ts';
import { createSupervisor, type Supervisor } from '../engine/supervisor.ts';
import { nodeFork } from '../engine/transport.ts';
import type { ModelPackage } from '../engine/weights/package.ts';
import { describeDevice } from './describe-device.ts';
import { freezeJob, type FindMedia } from './freeze.ts';
import { findModel } from './models.ts';
import { openProjectMedia } from './open-project.ts';
import type { Places } from './places.ts';
import { holdsJob, removeJob, renderJob } from './render.ts';

interface Sample {
  readonly project: Project;
  readonly range: Range;
  readonly plan: Plan;
  readonly findMedia: FindMedia;
  readonly close: () => void;
}

/** The bundled sample project and its generation, as the page shows them. One at a time. */
export class SampleSession {
  /** The picture under the sample's first frame. */
  readonly sourcePath: string;
  /** The latest preview as PNG. */
  preview: Uint8Array<ArrayBuffer> | null = null;

  private readonly sample: Sample;
  private readonly model: ModelPackage;
  private readonly supervisor: Supervisor;
  private readonly jobFolder: string;
  private readonly output: string;
  private readonly temporary: string;
  private machine: [string, string][] | null = null;
  private generation: PageState['generation'] = {
    status: 'idle',
    progress: null,
    preview: 0,
    take: 0,
    error: null,
  };
  private stop: AbortController | null = null;
  private running: Promise<void> = Promise.resolve();

  private constructor(
    sample: Sample,
    sourcePath: string,
    model: ModelPackage,
    supervisor: Supervisor,
    dataFolder: string,
    temporary: string,
  ) {
    this.sample = sample;
    this.sourcePath = sourcePath;
    this.model = model;
    this.supervisor = supervisor;
    this.jobFolder = join(dataFolder, 'sample.job');
    this.output = join(dataFolder, 'sample.mp4');
    this.temporary = temporary;
  }

  /**
   * Opens the bundled sample; a job that was stopped goes on at the next {@link generate}.
   * @param dataFolder made if missing
   */
  static async open(places: Places, dataFolder: string): Promise<SampleSession> {
    await mkdir(dataFolder, { recursive: true });
    const temporary = await mkdtemp(join(tmpdir(), 'pusa-sample-'));
    const opened = await openProjectMedia(join(places.resources, 'samples', 'first.pusa'), temporary);
    const range = opened.project.ranges[0];
    const first = opened.project.assets[0];
    if (range === undefined || first === undefined) {
      throw new PusaError('PROJECT_INVALID', 'The bundled sample is damaged.', 'Install Pusa Studio again.');
    }
    const model = await findModel(join(places.resources, 'models'), range.model ?? undefined);
    const source = await opened.findMedia(first);
    const supervisor = createSupervisor({ entry: places.engineEntry, fork: nodeFork() });
    const { plan } = planRange(opened.project, range);
    const sample = { project: opened.project, range, plan, findMedia: opened.findMedia, close: opened.close };
    const session = new SampleSession(sample, source, model, supervisor, dataFolder, temporary);
    session.running = session.inspectMachine();
    return session;
  }

  /** Path of the last take; null before the first. */
  get takePath(): string | null {
    return this.generation.take > 0 ? this.output : null;
  }

  state(): PageState {
    const { project, range, plan } = this.sample;
    return {
      sample: {
        name: project.name,
        prompt: range.prompt,
        model: this.model.manifest.name,
        width: project.width,
        height: project.height,
        fps: project.fps,
        plan,
      },
      machine: this.machine,
      generation: this.generation,
    };
  }

  /** Starts the generation, or goes on with the one that was stopped; nothing while one runs. */
  generate(): void {
    if (this.generation.status === 'running') return;
    this.stop = new AbortController();
    this.generation = {
      ...this.generation,
      status: 'running',
      progress: { phase: 'load', done: 0, total: 0, secondsLeft: null, fraction: 0 },
      preview: 0,
      error: null,
    };
    const { signal } = this.stop;
    this.running = this.running.then(() => this.run(signal));
  }

  keep(): void {
    this.supervisor.keep();
  }

  cancel(): void {
    this.stop?.abort();
  }

  async close(): Promise<void> {
    this.stop?.abort();
    await this.supervisor.close();
    await this.running;
    this.sample.close();
    await rm(this.temporary, { recursive: true, force: true });
  }

  private async inspectMachine(): Promise<void> {
    try {
      this.machine = describeDevice(await this.supervisor.report());
    } catch (thrown) {
      this.machine = [['Report', toPusaError(thrown).message]];
    }
  }

  private async run(signal: AbortSignal): Promise<void> {
    try {
      await this.freeze();
      await renderJob(this.supervisor, this.jobFolder, this.model.folder, this.output, {
        onProgress: (progress) => this.showProgress(progress),
        onPreview: (preview) => void this.showPreview(preview),
        signal,
      });
      await removeJob(this.jobFolder);
      this.generation = {
        ...this.generation,
        status: 'done',
        progress: null,
        take: this.generation.take + 1,
      };
    } catch (thrown) {
      const { code, message, remedy } = toPusaError(thrown);
      this.generation =
        code === 'CANCELLED'
          ? { ...this.generation, status: 'cancelled', progress: null }
          : { ...this.generation, status: 'failed', progress: null, error: { code, message, remedy } };
    }
  }

  private async freeze(): Promise<void> {
    if (await holdsJob(this.jobFolder)) return;
    const { project, range, findMedia } = this.sample;
    const { id, hash } = this.model.manifest;
    await rm(this.jobFolder, { recursive: true, force: true });
    await freezeJob(project, range, { id, hash }, findMedia, this.jobFolder, randomUUID());
  }

  private showProgress(progress: Progress): void {
    this.generation = { ...this.generation, progress };
  }

  private async showPreview({ cells, width, height, rgb }: Preview): Promise<void> {
    // The middle cell says most about a clip that starts from a picture.
    const frame = width * height * 3;
    const middle = Math.floor(cells / 2) * frame;
    const png = await sharp(rgb.subarray(middle, middle + frame), { raw: { width, height, channels: 3 } })
      .resize(this.sample.project.width, this.sample.project.height, { kernel: 'cubic' })
      .png()
      .toBuffer();
    this.preview = new Uint8Array(png);
    this.generation = { ...this.generation, preview: this.generation.preview + 1 };
  }
}
