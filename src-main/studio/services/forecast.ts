import type { Input, Output } from '../../core/contract/api.ts';
import type { DeviceReport, Provider } from '../../core/contract/device.ts';
import type { Job } from '../../core/contract/job.ts';
import {
  passOperations,
  planMemory,
  tokensOf,
  type MemoryPlan,
  type ModelNeeds,
} from '../../core/plan/memory.ts';
import { memoryWarnings } from '../../core/plan/memory-warnings.ts';
import { planRange } from '../../core/plan/range.ts';
import { preflight } from '../../core/timeline/preflight.ts';
import type { Rates } from '../../engine/pipeline/result.ts';
import { textPasses } from '../../engine/pipeline/stages/text.ts';
import { readModelNeeds } from '../../engine/weights/model-needs.ts';
import type { ModelPackage } from '../../engine/weights/package.ts';
import type { StudioContext } from '../context.ts';
import { sourcesOf } from './jobs-folder.ts';
import type { JobKind, QueueMemory } from './jobs-state.ts';
import { wantedRange } from './jobs-wanted.ts';
import { findUsableModel } from './models.ts';
import { coloursOf } from './source-colours.ts';

/** What decides a forecast beside the model. */
export interface Work extends JobKind {
  readonly steps: number;
  /** Cells that are encoded, run-ins included. */
  readonly encoded: number;
  readonly cells: number;
}

/**
 * Where the seconds come from: `measured` in a job of the same model and size, `scaled` from one of another size by
 * the number of operations, or only from the `block` that is timed on each device.
 */
export type Basis = 'measured' | 'scaled' | 'block';

export interface Forecast {
  readonly seconds: number | null;
  readonly basis: Basis | null;
  readonly plan: MemoryPlan | null;
}

/** Denoising's share of a job of which nothing but that can be estimated. */
const usualShare = 0.75;

/** Seconds below which it is not told: it leaves out setting up and calling the networks (0.2 s were told for 5.6). */
const leastOfBlock = 30;

/** Models whose headers are remembered. */
const mostModels = 50;

/** Forecasts of seconds and memory, from what was measured on this machine. */
export class Forecasts {
  readonly #context: StudioContext;
  readonly #memory: QueueMemory;
  /** By hash and provider: the weights of a package never change under one. */
  readonly #needs = new Map<string, Promise<ModelNeeds>>();

  constructor(context: StudioContext, memory: QueueMemory) {
    this.#context = context;
    this.#memory = memory;
  }

  /** What generating a range would cost. @throws PusaError of the plan, MODEL_NOT_FOUND, RECORD_NOT_FOUND … */
  async ofRange(input: Input<'jobs.forecast'>): Promise<Output<'jobs.forecast'>> {
    const wanted = await wantedRange(this.#context, input);
    const { range } = wanted;
    const project = sourcesOf(this.#context.store, wanted.project, range);
    const model = await findUsableModel(this.#context, range.model);
    const { manifest } = model;
    const { cells, sources, plan } = planRange(project, range);
    const forecast = await this.of(model, {
      model: manifest,
      width: project.width,
      height: project.height,
      frames: plan.frames,
      cfg: range.sampler.cfg,
      steps: plan.steps,
      encoded: sources.passes.reduce((sum, pass) => sum + pass.dropCells + pass.cells, 0),
      cells: plan.cells.length,
    });
    const colours = await coloursOf(this.#context, project, sources.passes);
    const trainedFrames = manifest.native.frames;
    const warnings = preflight({ project, range, cells, sources, trainedFrames, colours });
    const isQuantised = manifest.baked?.precision.startsWith('int') ?? false;
    const memory = forecast.plan === null ? [] : memoryWarnings(forecast.plan, isQuantised);
    return {
      seconds: forecast.seconds,
      memoryBytes: forecast.plan?.peakBytes ?? null,
      basis: forecast.basis,
      warnings: [...memory, ...warnings].slice(0, 1000).map(({ code, text, values }) => ({
        code,
        text: text.slice(0, 1000),
        values: { ...values },
      })),
    };
  }

  /** What a frozen job will cost. */
  ofJob(model: ModelPackage, job: Job): Promise<Forecast> {
    return this.of(model, {
      ...job,
      frames: job.plan.frames,
      cfg: job.sampler.cfg,
      steps: job.plan.steps,
      encoded: job.sources.reduce((sum, source) => sum + source.dropCells + source.cells, 0),
      cells: job.plan.cells.length,
    });
  }

  async of(model: ModelPackage, work: Work): Promise<Forecast> {
    const report = this.#context.devices.known;
    const provider = this.#context.settings().provider;
    const device = provider ?? report?.chosen ?? 'cpu';
    const needs = await this.#needsOf(model, device).catch((thrown: unknown) => {
      this.#context.log(thrown);
      return null;
    });
    const time = this.#seconds(work, needs, device);
    if (needs === null) return { ...time, plan: null };
    const { width, height, frames } = work;
    const forms = report?.providers.find((one) => one.provider === device)?.forms;
    const plan = planMemory({
      needs,
      provider: device,
      availableBytes: memoryOf(device, report, this.#available()),
      width,
      height,
      frames,
      attention: forms?.attention ?? (device === 'webgpu' ? 'primitive' : 'fused'),
      attentionRows: forms?.attentionRows ?? 0,
      level: 0,
    });
    return { ...time, plan };
  }

  #seconds(
    work: Work,
    needs: ModelNeeds | null,
    device: Provider,
  ): { readonly seconds: number | null; readonly basis: Basis | null } {
    const provider = this.#context.settings().provider;
    const own = this.#memory.rates(work, provider);
    if (own.denoise !== undefined) return { seconds: secondsOf(work, own), basis: 'measured' };
    if (needs === null) return { seconds: null, basis: null };
    const operations = (kind: JobKind): number =>
      passOperations(needs, tokensOf({ ...kind, needs })) * textPasses(kind.cfg);
    const known = this.#memory.alike(work, provider);
    if (known?.rates.denoise !== undefined) {
      const pixels = (work.width * work.height) / (known.kind.width * known.kind.height);
      const { text, sources, denoise, decode } = known.rates;
      const scaled: Rates = {
        ...(text === undefined ? {} : { text }),
        ...(sources === undefined ? {} : { sources: sources * pixels }),
        denoise: (denoise * operations(work)) / operations(known.kind),
        ...(decode === undefined ? {} : { decode: decode * pixels }),
      };
      return { seconds: secondsOf(work, scaled), basis: 'scaled' };
    }
    const speed = this.#context.devices.known?.providers.find((one) => one.provider === device)?.block
      ?.gflops;
    if (speed === undefined || speed <= 0) return { seconds: null, basis: null };
    const denoise = operations(work) / (speed * 1e9);
    const seconds = (work.steps * denoise) / usualShare;
    return seconds < leastOfBlock ? { seconds: null, basis: null } : { seconds, basis: 'block' };
  }

  #needsOf(model: ModelPackage, provider: Provider): Promise<ModelNeeds> {
    const key = `${model.manifest.hash} ${provider}`;
    const known = this.#needs.get(key);
    if (known !== undefined) return known;
    const needs = readModelNeeds(model, provider);
    this.#needs.set(key, needs);
    needs.catch(() => this.#needs.delete(key));
    if (this.#needs.size > mostModels) this.#needs.delete(this.#needs.keys().next().value!);
    return needs;
  }

  /** Memory of this machine that is free now, in bytes. */
  #available(): number {
    return process.availableMemory();
  }
}

function secondsOf({ steps, cfg, encoded, cells }: Work, rates: Rates): number {
  return (
    steps * (rates.denoise ?? 0) +
    textPasses(cfg) * (rates.text ?? 0) +
    encoded * (rates.sources ?? 0) +
    cells * (rates.decode ?? 0)
  );
}

/** Memory the networks can use: of the largest graphics card, where one runs them and its size is known. */
function memoryOf(device: Provider, report: DeviceReport | null, host: number): number {
  if (device === 'cpu' || report === null) return host;
  return Math.max(0, ...report.gpus.map(({ memoryBytes }) => memoryBytes ?? 0)) || host;
}
