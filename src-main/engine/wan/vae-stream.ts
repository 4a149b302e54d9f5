import type { Tensor } from '../networks.ts';
import type { Runtime, Segment } from '../runtime/runtime.ts';
import { buildFrameGraph, type FrameGraphOptions, type FrameShape, type Memory } from './vae-graph.ts';
import type { VaeStep } from './vae-steps.ts';

/** A stage is closed when what its convolutions remember of one frame exceeds this: large frames get short stages. */
const stageBytes = 32 * 1024 * 1024;

interface Stage {
  readonly kind: 'frame' | 'halveTime' | 'doubleTime';
  readonly segment: Segment;
  readonly memories: readonly Memory[];
  readonly output: FrameShape;
}

/** Receives a finished frame, [1, C, H, W]. */
export type EmitFrame = (frame: Tensor) => void | Promise<void>;

/**
 * Half of the VAE (encoder or decoder) loaded for one frame size. Frames go through depth-first, one at a time: a
 * frame is at the far end before the next one enters, so that only what the causal convolutions remember (two frames
 * each) is held, however long the video is.
 */
export interface FrameNetwork {
  /** Starts a video: nothing is remembered yet. */
  start(): FrameStream;
  /** Number of graph runs for a video of `frames` input frames. */
  runs(frames: number): number;
  release(): Promise<void>;
}

export interface FrameStream {
  /** @param onRun called before each graph run; what it throws ends the stream */
  push(frame: Tensor, emit: EmitFrame, onRun: () => void): Promise<void>;
}

/**
 * Builds and loads the graphs.
 * @param input shape of the entering frames
 */
export async function loadFrameNetwork(
  name: string,
  runtime: Runtime,
  steps: readonly VaeStep[],
  input: FrameShape,
  options: Omit<FrameGraphOptions, 'forms'>,
): Promise<FrameNetwork> {
  const stages: Stage[] = [];
  const release = async (): Promise<void> => {
    for (const stage of stages.splice(0)) await stage.segment.release();
  };
  try {
    let shape = input;
    for (const run of stageRuns(steps, input)) {
      const stageName = `${name}/${stages.length}`;
      const graph = buildFrameGraph(stageName, run, shape, { ...options, forms: runtime.forms });
      const first = run[0]!.kind;
      const kind = first === 'halveTime' || first === 'doubleTime' ? first : 'frame';
      const { memories, output } = graph;
      stages.push({ kind, segment: await runtime.load(graph.model), memories, output });
      shape = output;
    }
  } catch (error) {
    await release();
    throw error;
  }
  return { start: () => startStream(stages), runs: (frames) => countRuns(stages, frames), release };
}

/** Cuts the steps into stages: each change of time alone, the others in runs of bounded size. */
function stageRuns(steps: readonly VaeStep[], input: FrameShape): VaeStep[][] {
  const runs: VaeStep[][] = [];
  let [, , height, width] = input;
  let open: VaeStep[] = [];
  let bytes = 0;
  const close = (): void => {
    if (open.length > 0) runs.push(open);
    open = [];
    bytes = 0;
  };
  for (const step of steps) {
    if (step.kind === 'halveTime' || step.kind === 'doubleTime') {
      close();
      runs.push([step]);
      continue;
    }
    if (step.kind === 'halveSpace') [height, width] = [height / 2, width / 2];
    if (step.kind === 'doubleSpace') [height, width] = [height * 2, width * 2];
    const channels = step.kind === 'residual' ? step.from + step.to : step.kind === 'causal' ? step.from : 0;
    const added = 4 * channels * height * width;
    if (bytes > 0 && bytes + added > stageBytes) close();
    open.push(step);
    bytes += added;
  }
  close();
  return runs;
}

/** Stages see frames in the order of time; the first frame is special to the two changes of time (spec §4.2). */
function countRuns(stages: readonly Stage[], frames: number): number {
  let total = 0;
  let count = frames;
  for (const stage of stages) {
    if (stage.kind === 'frame') total += count;
    else if (stage.kind === 'halveTime') {
      count = 1 + Math.floor((count - 1) / 2);
      total += count - 1;
    } else {
      total += count - 1;
      count = 2 * count - 1;
    }
  }
  return total;
}

/** What one stage knows of the video so far. */
interface StageState {
  frames: number;
  /** Per causal convolution: its inputs `:1` and `:2`. */
  readonly remembered: Map<string, readonly [Tensor, Tensor]>;
  /** `halveTime`: frames that a coming one needs. */
  held: Tensor[];
}

function startStream(stages: readonly Stage[]): FrameStream {
  const states = stages.map((): StageState => ({ frames: 0, remembered: new Map(), held: [] }));
  const memory = new FrameMemory();
  const last = stages.length - 1;

  /** Runs a stage's graph. Its input and what it remembered of two frames back are needed no more. */
  const runStage = async (at: number, x: Tensor): Promise<Record<string, Tensor>> => {
    const { kind, segment, memories, output } = stages[at]!;
    const { remembered } = states[at]!;
    const inputs: Record<string, Tensor> = { x };
    const into: Record<string, Float32Array> = {};
    for (const { key, shape, next } of memories) {
      const [one, two] = remembered.get(key) ?? [memory.zeros(shape), memory.zeros(shape)];
      inputs[`${key}:1`] = one;
      inputs[`${key}:2`] = two;
      for (const name of next) if (name !== null) into[name] = memory.take(shape);
    }
    // What leaves the network belongs to who receives it.
    if (at < last) into['y'] = memory.take(output);
    if (at < last && kind === 'doubleTime') into['z'] = memory.take(output);
    const outputs = await segment.run(inputs, into);
    for (const { key, next } of memories) {
      const [one, two] = [inputs[`${key}:1`]!, inputs[`${key}:2`]!];
      remembered.set(key, [outputs[next[0]]!, next[1] === null ? one : outputs[next[1]]!]);
      if (next[1] !== null) memory.giveBack(one);
      memory.giveBack(two);
    }
    memory.giveBack(x);
    return outputs;
  };

  const enter = async (at: number, frame: Tensor, emit: EmitFrame, onRun: () => void): Promise<void> => {
    const stage = stages[at];
    if (stage === undefined) return emit(frame);
    const state = states[at]!;
    const index = state.frames++;
    const next = (result: Tensor): Promise<void> => enter(at + 1, result, emit, onRun);
    if (stage.kind === 'frame') {
      onRun();
      return next((await runStage(at, frame))['y']!);
    }
    if (stage.kind === 'doubleTime') {
      // The first frame is neither doubled nor seen by the convolution of the second.
      if (index === 0) return next(frame);
      onRun();
      const { y, z } = await runStage(at, frame);
      await next(y!);
      return next(z!);
    }
    // halveTime: frame 0 passes; frames 2k−2, 2k−1 and 2k make the k-th.
    state.held.push(frame);
    if (index === 0) return next(memory.copy(frame));
    if (index % 2 === 1) return;
    onRun();
    const [twoBack, oneBack] = state.held.splice(0, 2) as [Tensor, Tensor];
    const inputs = { x: frame, 'x:1': oneBack, 'x:2': twoBack };
    const { y } = await stage.segment.run(inputs, at < last ? { y: memory.take(stage.output) } : {});
    memory.giveBack(twoBack);
    memory.giveBack(oneBack);
    return next(y!);
  };

  return { push: (frame, emit, onRun) => enter(0, frame, emit, onRun) };
}

/**
 * Memory of frames on their way, used again and again: left to the garbage collector it would come late, and the peak
 * would depend on when.
 */
class FrameMemory {
  readonly #free = new Map<number, Float32Array[]>();
  readonly #ours = new WeakSet<Float32Array>();
  readonly #zeros = new Map<number, Float32Array>();

  take(shape: FrameShape): Float32Array {
    const size = sizeOf(shape);
    const free = this.#free.get(size)?.pop();
    if (free !== undefined) return free;
    const fresh = new Float32Array(size);
    this.#ours.add(fresh);
    return fresh;
  }

  /** Frees a frame's memory where it came from {@link take}; others are not ours to write to. */
  giveBack({ data }: Tensor): void {
    if (!this.#ours.has(data)) return;
    const free = this.#free.get(data.length);
    if (free === undefined) this.#free.set(data.length, [data]);
    else free.push(data);
  }

  copy({ data, shape }: Tensor): Tensor {
    const copy = this.take(shape as FrameShape);
    copy.set(data);
    return { data: copy, shape };
  }

  /** Before the first frame everything is zero; equal sizes share their zeros. */
  zeros(shape: FrameShape): Tensor {
    const size = sizeOf(shape);
    let data = this.#zeros.get(size);
    if (data === undefined) this.#zeros.set(size, (data = new Float32Array(size)));
    return { data, shape };
  }
}

function sizeOf([, channels, height, width]: FrameShape): number {
  return channels * height * width;
}
