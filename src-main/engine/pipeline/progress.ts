import { phases, type Phase, type Progress } from '../../core/contract/job.ts';
import type { Rates } from './result.ts';

/** Share of a job's time where nothing has been measured yet; only for the bar, never for the seconds. */
const usualShare: Readonly<Record<Phase, number>> = {
  load: 0.02,
  text: 0.03,
  sources: 0.08,
  denoise: 0.75,
  decode: 0.11,
  save: 0.01,
};

/** Below this share of a first unit a projection from it would be a guess. */
const leastShare = 0.25;

/** Units a rate is taken over: recent ones count, an old one may have been timed while the machine was busy. */
const window = 5;

/** When how many units were done. */
interface Sample {
  readonly time: number;
  readonly done: number;
}

/**
 * Turns done work into progress: seconds left from units timed on this machine, and a share of the whole that never
 * falls. `secondsLeft` is null until a denoising step (a quarter of the first is enough) has been timed in this run
 * or an earlier one; phases that were never timed are not in it.
 */
export class ProgressMeter {
  private readonly units: Readonly<Record<Phase, number>>;
  private readonly earlier: Rates;
  private readonly now: () => number;
  private readonly measured: Partial<Record<Phase, number>> = {};
  private phase: Phase = 'load';
  private done = 0;
  private samples: Sample[] = [];
  private highest = 0;

  /**
   * @param units how many units each phase has in all
   * @param earlier rates of an earlier job of the same model and size
   * @param now a clock in seconds
   */
  constructor(units: Readonly<Record<Phase, number>>, earlier: Rates, now: () => number) {
    this.units = units;
    this.earlier = earlier;
    this.now = now;
  }

  /** Starts a phase of which `done` units are there already (from an earlier process). */
  begin(phase: Phase, done: number): Progress {
    this.phase = phase;
    this.done = done;
    this.samples = [{ time: this.now(), done }];
    return this.progress();
  }

  /** @param done units of the phase done so far, parts of a unit included */
  advance(done: number): Progress {
    const before = this.done;
    this.done = Math.min(Math.max(before, done), this.units[this.phase]);
    const sample = { time: this.now(), done: this.done };
    const first = this.samples.at(-1 - window) ?? this.samples[0]!;
    if (sample.done - first.done >= leastShare) {
      this.measured[this.phase] = (sample.time - first.time) / (sample.done - first.done);
    }
    if (Math.floor(this.done) > Math.floor(before)) {
      this.samples.push(sample);
      // The first unit also builds and maps graphs; once a second one is done, it counts no more.
      if (this.samples.length === 3) this.samples.shift();
      this.samples = this.samples.slice(-1 - window);
    }
    return this.progress();
  }

  /** Seconds a unit, per phase, as measured in this run or kept from an earlier one. */
  rates(): Rates {
    const { text, sources, denoise, decode } = this.measured;
    return {
      ...this.earlier,
      ...(text === undefined ? {} : { text }),
      ...(sources === undefined ? {} : { sources }),
      ...(denoise === undefined ? {} : { denoise }),
      ...(decode === undefined ? {} : { decode }),
    };
  }

  /** Seconds a unit takes, or null where nothing says. */
  private rate(phase: Phase): number | null {
    const earlier = phase === 'load' || phase === 'save' ? undefined : this.earlier[phase];
    return this.measured[phase] ?? earlier ?? null;
  }

  private progress(): Progress {
    this.highest = Math.max(this.highest, this.share());
    return {
      phase: this.phase,
      done: Math.floor(this.done),
      total: this.units[this.phase],
      secondsLeft: this.secondsLeft(),
      fraction: this.highest,
    };
  }

  private secondsLeft(): number | null {
    const at = phases.indexOf(this.phase);
    if (at <= phases.indexOf('denoise') && this.rate('denoise') === null) return null;
    let seconds = 0;
    for (const phase of phases.slice(at)) {
      const left = this.units[phase] - (phase === this.phase ? this.done : 0);
      seconds += left * (this.rate(phase) ?? 0);
    }
    return seconds;
  }

  private share(): number {
    const at = phases.indexOf(this.phase);
    let all = 0;
    let done = 0;
    for (const [i, phase] of phases.entries()) {
      const units = this.units[phase];
      const weight = units === 0 ? 0 : usualShare[phase];
      all += weight;
      if (i < at) done += weight;
      else if (i === at && weight > 0) done += (weight * this.done) / units;
    }
    return Math.min(1, done / all);
  }
}
