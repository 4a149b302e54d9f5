import type { Tensor } from '../networks.ts';
import type { Runtime, Segment } from '../runtime/runtime.ts';
import {
  buildFrameGraph,
  type Branch,
  type FrameGraphOptions,
  type FrameShape,
  type Memory,
  type Shortcut,
} from './vae-graph.ts';
import { pixelPatch } from './vae-config.ts';
import type { VaeStep } from './vae-steps.ts';

/** A stage is closed when what its steps hold exceeds this: large frames get short stages. */
const defaultStageBytes = 32 * 1024 * 1024;

interface Stage {
  readonly kind: 'frame' | 'halveTime' | 'doubleTime';
  readonly segment: Segment;
  readonly memories: readonly Memory[];
  readonly branches: readonly Branch[];
  readonly shortcuts: readonly Shortcut[];
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
  /** @param onRun called after each graph run; what it throws ends the stream */
  push(frame: Tensor, emit: EmitFrame, onRun: () => void): Promise<void>;
}

export interface FrameNetworkOptions extends Omit<FrameGraphOptions, 'forms'> {
  /** Most bytes the steps of one graph may hold; default 32 MiB. */
  readonly stageBytes?: number;
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
  { stageBytes = defaultStageBytes, ...options }: FrameNetworkOptions,
): Promise<FrameNetwork> {
  const stages: Stage[] = [];
  const release = async (): Promise<void> => {
    for (const stage of stages.splice(0)) await stage.segment.release();
  };
  try {
    let shape = input;
    for (const run of stageRuns(steps, input, stageBytes)) {
      const stageName = `${name}/${stages.length}`;
      const graph = buildFrameGraph(stageName, run, shape, { ...options, forms: runtime.forms });
      const first = run[0]!.kind;
      const kind = first === 'halveTime' || first === 'doubleTime' ? first : 'frame';
      const { memories, branches, shortcuts, output } = graph;
      const segment = await runtime.load(graph.model);
      stages.push({ kind, segment, memories, branches, shortcuts, output });
      shape = output;
    }
  } catch (error) {
    await release();
    throw error;
  }
  return { start: () => startStream(stages), runs: (frames) => countRuns(stages, frames), release };
}

/** Cuts the steps into stages: each change of time alone, the others in runs of bounded size. */
function stageRuns(steps: readonly VaeStep[], input: FrameShape, stageBytes: number): VaeStep[][] {
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
    if (step.kind === 'toPatches') [height, width] = [height / pixelPatch, width / pixelPatch];
    if (step.kind === 'fromPatches') [height, width] = [height * pixelPatch, width * pixelPatch];
    const added = 4 * channelsHeld(step) * height * width;
    if (bytes > 0 && bytes + added > stageBytes) close();
    open.push(step);
    bytes += added;
  }
  close();
  return runs;
}

/** Channels of what a step holds at a time, roughly: what its convolutions remember, or a resampling's both sides. */
function channelsHeld(step: VaeStep): number {
  switch (step.kind) {
    case 'residual':
    case 'halveSpace':
    case 'doubleSpace':
      return step.from + step.to;
    case 'causal':
      return step.from;
    case 'shortcutDown':
    case 'shortcutUp':
      return step.to;
    default:
      return 0;
  }
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

/** What one stage knows of the video so far. Its memory is its own: frames are copied in, so nothing is kept alive. */
interface StageState {
  frames: number;
  /** Per causal convolution: its inputs `:1` and `:2`; zero before the first frame. */
  readonly remembered: Map<string, [one: Float32Array, two: Float32Array]>;
  /** `halveTime`: the two frames before the present one, and it. `doubleTime`: the later frame, while the earlier is under way. */
  readonly kept: Float32Array[];
}

/** Frames kept for a shortcut; zeros stand before the first. */
interface Kept {
  readonly shape: FrameShape;
  readonly earlier: Float32Array;
  readonly later: Float32Array;
}

function startStream(stages: readonly Stage[]): FrameStream {
  const states = stages.map(({ memories }): StageState => ({
    frames: 0,
    remembered: new Map(
      memories.map(({ key, shape }) => [
        key,
        [new Float32Array(sizeOf(shape)), new Float32Array(sizeOf(shape))],
      ]),
    ),
    kept: [],
  }));
  // A frame is past a shortcut before the next one is kept for it, or the next pair.
  const shortcuts = new Map<string, Kept>();
  for (const { key, shape, pairs } of stages.flatMap(({ branches }) => branches)) {
    const later = new Float32Array(sizeOf(shape));
    shortcuts.set(key, { shape, earlier: pairs ? new Float32Array(later.length) : later, later });
  }
  const shapes = stages.flatMap(({ memories, output }) => [output, ...memories.map(({ shape }) => shape)]);
  const scratch = new Scratch(Math.max(...shapes.map(sizeOf)));
  const last = stages.length - 1;

  const keep = (state: StageState, slot: number, { data }: Tensor): Float32Array => {
    const own = (state.kept[slot] ??= new Float32Array(data.length));
    own.set(data);
    return own;
  };

  /** Runs a stage's graph; its input is needed no more. */
  const runStage = async (
    at: number,
    index: number,
    x: Tensor,
    others: Readonly<Record<string, Tensor>> = {},
  ): Promise<Record<string, Tensor>> => {
    const { kind, segment, memories, branches, output } = stages[at]!;
    const { remembered } = states[at]!;
    const inputs: Record<string, Tensor> = { x, ...others };
    const into: Record<string, Float32Array> = {};
    for (const { key, shape, next } of memories) {
      const [one, two] = remembered.get(key)!;
      inputs[`${key}:1`] = { data: one, shape };
      inputs[`${key}:2`] = { data: two, shape };
      for (const name of next) if (name !== null) into[name] = scratch.take(shape);
    }
    for (const { key, pairs } of stages[at]!.shortcuts) {
      const { shape, earlier, later } = shortcuts.get(key)!;
      inputs[`${key}:later`] = { data: later, shape };
      if (pairs) inputs[`${key}:earlier`] = { data: earlier, shape };
    }
    const keptOf = ({ key, pairs }: Branch): Float32Array =>
      shortcuts.get(key)![pairs && index % 2 === 1 ? 'earlier' : 'later'];
    for (const branch of branches) into[branch.name] = keptOf(branch);
    // What leaves the network belongs to who receives it.
    if (at < last) into['y'] = scratch.take(output);
    if (kind === 'doubleTime') into['z'] = scratch.take(output);
    const outputs = await segment.run(inputs, into);
    for (const { key, next } of memories) {
      const memory = remembered.get(key)!;
      if (next[1] === null) memory.reverse();
      else memory[1].set(outputs[next[1]]!.data);
      memory[0].set(outputs[next[0]]!.data);
      for (const name of next) if (name !== null) scratch.giveBack(outputs[name]!);
    }
    for (const branch of branches) {
      const { data } = outputs[branch.name]!;
      if (data !== keptOf(branch)) keptOf(branch).set(data);
    }
    scratch.giveBack(x);
    return outputs;
  };

  const enter = async (at: number, frame: Tensor, emit: EmitFrame, onRun: () => void): Promise<void> => {
    const stage = stages[at];
    if (stage === undefined) return emit(frame);
    const state = states[at]!;
    const index = state.frames++;
    const next = (result: Tensor): Promise<void> => enter(at + 1, result, emit, onRun);
    if (stage.kind === 'frame') {
      const { y } = await runStage(at, index, frame);
      onRun();
      return next(y!);
    }
    if (stage.kind === 'doubleTime') {
      // The first frame is neither doubled nor seen by the convolution of the second.
      if (index === 0) return next(frame);
      const { y, z } = await runStage(at, index, frame);
      onRun();
      const later: Tensor = { data: keep(state, 0, z!), shape: z!.shape };
      scratch.giveBack(z!);
      await next(y!);
      return next(later);
    }
    // halveTime: frame 0 passes; frames 2k−2, 2k−1 and 2k make the k-th.
    if (index === 0) {
      keep(state, 0, frame);
      return next(frame);
    }
    if (index % 2 === 1) {
      keep(state, 1, frame);
      scratch.giveBack(frame);
      return;
    }
    const { shape } = frame;
    const [twoBack, oneBack] = state.kept as [Float32Array, Float32Array];
    // The window moves on by two frames: the present one is the coming one's two back.
    const present = keep(state, 2, frame);
    const { y } = await runStage(at, index, frame, {
      'x:1': { data: oneBack, shape },
      'x:2': { data: twoBack, shape },
    });
    onRun();
    [state.kept[0], state.kept[2]] = [present, twoBack];
    return next(y!);
  };

  return { push: (frame, emit, onRun) => enter(0, frame, emit, onRun) };
}

/** A piece of memory of which the system has handed over only what was ever used. */
interface Piece {
  readonly memory: Float32Array;
  used: number;
}

/**
 * Memory for frames on their way, used again and again: left to the garbage collector it would come late, and the peak
 * would depend on when. All pieces have the largest frame's size, but a smaller frame takes one that was only used so
 * far where it can, so that no more pieces are used to their end than large frames are under way.
 */
class Scratch {
  readonly #size: number;
  readonly #free = new Set<Piece>();
  readonly #pieces = new WeakMap<ArrayBufferLike, Piece>();

  constructor(size: number) {
    this.#size = size;
  }

  take(shape: FrameShape): Float32Array {
    const size = sizeOf(shape);
    let best: Piece | undefined;
    for (const piece of this.#free)
      if (best === undefined || isBetter(piece.used, best.used, size)) best = piece;
    if (best === undefined) {
      best = { memory: new Float32Array(this.#size), used: 0 };
      this.#pieces.set(best.memory.buffer, best);
    }
    this.#free.delete(best);
    best.used = Math.max(best.used, size);
    return best.memory.subarray(0, size);
  }

  /** Frees a frame's memory where it came from {@link take}; other memory is not ours. */
  giveBack({ data }: Tensor): void {
    const piece = this.#pieces.get(data.buffer);
    if (piece !== undefined) this.#free.add(piece);
  }
}

/** The smallest extent that holds `size`, else the largest, which grows least. */
function isBetter(candidate: number, best: number, size: number): boolean {
  if (best >= size) return candidate >= size && candidate < best;
  return candidate > best;
}

function sizeOf([, channels, height, width]: FrameShape): number {
  return channels * height * width;
}
