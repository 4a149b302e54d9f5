/* eslint-disable svelte/prefer-svelte-reactivity -- maps and sets here are bookkeeping that nothing on the page shows */
import { z } from 'zod';
import { toPusaError, type PusaError } from '../../../src-main/core/errors.ts';
import type { Medium } from '../media/protocol.ts';
import { SoundFile } from '../media/sound-file.ts';
import { recall, remember } from '../state/memory.ts';
import type { Stretch } from './clock.ts';
import { ahead, cut, type Piece, type SoundPart } from './heard.ts';

/** Seconds of sound that are scheduled before they are heard. */
const scheduled = 1;
/** Seconds by which sound and pictures may part before the sound is begun anew. */
const apart = 0.06;
/** Files kept open; those not heard the longest are closed. */
const maxOpen = 6;
/** Milliseconds between looks whether more is to be scheduled. */
const nap = 120;

/** What is played at an instant. */
export interface Heard {
  readonly parts: readonly SoundPart[];
  /** In frames with their fractions. */
  readonly place: number;
  /** The same milliseconds that `performance.now()` counts. */
  readonly now: number;
  readonly stretch: Stretch;
  readonly loop: boolean;
  readonly fps: number;
}

/** One playing from a place on. */
interface Run {
  readonly parts: readonly SoundPart[];
  readonly stretch: Stretch;
  readonly loop: boolean;
  readonly fps: number;
  /** Where and when it began: a place, and the time of the context at which it is heard. */
  readonly place: number;
  readonly began: number;
  readonly nodes: Set<AudioBufferSourceNode>;
}

const storedSchema = z.strictObject({ volume: z.number().min(0).max(1), muted: z.boolean() });

/** The sound of the clips as they play at the normal speed: heard where and while their pictures are shown. */
export class Sound {
  volume = $state(1);
  muted = $state(false);

  readonly #onSilent: (error: PusaError) => void;
  readonly #files = new Map<string, Promise<SoundFile | null>>();
  readonly #silent = new Set<string>();
  #context: AudioContext | null = null;
  #gain: GainNode | null = null;
  #run: Run | null = null;

  /** @param onSilent a medium has sound that cannot be heard; told once for each */
  constructor(onSilent: (error: PusaError) => void) {
    this.#onSilent = onSilent;
    const stored = recall('sound', storedSchema);
    if (stored !== null) [this.volume, this.muted] = [stored.volume, stored.muted];
  }

  setVolume(volume: number): void {
    this.volume = Math.min(1, Math.max(0, volume));
    this.muted = this.volume === 0;
    this.#apply();
  }

  toggleMute(): void {
    this.muted = !this.muted;
    if (!this.muted && this.volume === 0) this.volume = 1;
    this.#apply();
  }

  /** Called for every picture shown while it plays: goes on, or begins anew where the playhead jumped. */
  follow(heard: Heard): void {
    if (heard.parts.length === 0) {
      this.stop();
      return;
    }
    const context = this.#open();
    if (context?.state !== 'running') return;
    const at = timeAt(context, heard.now);
    const run = this.#run;
    if (run !== null && isSame(run, heard) && Math.abs(placeOf(run, at) - heard.place) <= apart * run.fps)
      return;
    this.stop();
    const { parts, place, stretch, loop, fps } = heard;
    const next: Run = { parts, place, stretch, loop, fps, began: at, nodes: new Set() };
    this.#run = next;
    void this.#play(next, context);
  }

  stop(): void {
    if (this.#run === null) return;
    for (const node of this.#run.nodes) {
      node.onended = null;
      node.stop();
      node.disconnect();
    }
    this.#run = null;
  }

  close(): void {
    this.stop();
    for (const file of this.#files.values()) closeLater(file);
    this.#files.clear();
    void this.#context?.close();
    this.#context = null;
  }

  /** Playing is begun by a person's hand, which is when a browser lets sound begin. */
  #open(): AudioContext | null {
    if (typeof AudioContext === 'undefined') return null;
    if (this.#context === null) {
      this.#context = new AudioContext({ latencyHint: 'interactive' });
      this.#gain = this.#context.createGain();
      this.#gain.gain.value = this.muted ? 0 : this.volume;
      this.#gain.connect(this.#context.destination);
    }
    if (this.#context.state === 'suspended') void this.#context.resume().catch(() => undefined);
    return this.#context;
  }

  #apply(): void {
    remember('sound', { volume: this.volume, muted: this.muted });
    if (this.#context === null) return;
    // A short fade: a jump would be heard as a click.
    this.#gain?.gain.setTargetAtTime(this.muted ? 0 : this.volume, this.#context.currentTime, 0.01);
  }

  async #play(run: Run, context: AudioContext): Promise<void> {
    for (const piece of ahead(run.parts, run.place, run.stretch, run.loop, run.fps)) {
      if (!(await this.#comesTo(run, context, piece.at))) return;
      const file = await this.#fileOf(piece.medium);
      if (this.#run !== run) return;
      if (file === null) continue;
      try {
        if (!(await this.#schedule(run, context, piece, file))) return;
      } catch (thrown) {
        this.#tellSilent(piece.medium, thrown);
      }
    }
  }

  /** @returns false when the run is over */
  async #schedule(run: Run, context: AudioContext, piece: Piece, file: SoundFile): Promise<boolean> {
    const elapsed = context.currentTime - run.began;
    // What has gone by already while the file was opened need not be decoded.
    const from = Math.max(piece.from, piece.from + elapsed - piece.at);
    if (from >= piece.from + piece.seconds) return true;
    for await (const { buffer, at } of file.buffers(from, piece.from + piece.seconds)) {
      if (this.#run !== run) return false;
      const part = cut(piece, { at, seconds: buffer.duration }, context.currentTime - run.began);
      if (part === null) continue;
      if (!(await this.#comesTo(run, context, part.at))) return false;
      const node = new AudioBufferSourceNode(context, { buffer });
      node.connect(this.#gain!);
      node.onended = () => run.nodes.delete(node);
      run.nodes.add(node);
      node.start(Math.max(0, run.began + part.at), part.offset, part.seconds);
    }
    return this.#run === run;
  }

  /** Waits until something `at` seconds after the beginning is due to be scheduled; false when the run is over. */
  async #comesTo(run: Run, context: AudioContext, at: number): Promise<boolean> {
    while (this.#run === run && run.began + at - context.currentTime > scheduled) {
      await new Promise((resolve) => setTimeout(resolve, nap));
    }
    return this.#run === run;
  }

  async #fileOf(medium: Medium): Promise<SoundFile | null> {
    const known = this.#files.get(medium.id) ?? SoundFile.open(medium);
    this.#files.delete(medium.id);
    this.#files.set(medium.id, known);
    for (const [id, file] of this.#files) {
      if (this.#files.size <= maxOpen) break;
      this.#files.delete(id);
      closeLater(file);
    }
    try {
      return await known;
    } catch (thrown) {
      this.#tellSilent(medium, thrown);
      return null;
    }
  }

  #tellSilent(medium: Medium, thrown: unknown): void {
    if (this.#silent.has(medium.id)) return;
    this.#silent.add(medium.id);
    this.#onSilent(toPusaError(thrown));
  }
}

/** The context's time at which what is scheduled then is heard at an instant of the page. */
function timeAt(context: AudioContext, now: number): number {
  return context.currentTime + (now - performance.now()) / 1000 - (context.outputLatency || 0);
}

/** Where a run is at a time of its context, in frames with their fractions. */
function placeOf({ place, began, stretch, loop, fps }: Run, at: number): number {
  const on = place + (at - began) * fps;
  const length = stretch.last - stretch.first + 1;
  return loop && on >= stretch.last + 1 ? stretch.first + ((on - stretch.first) % length) : on;
}

function isSame(run: Run, { parts, stretch, loop, fps }: Heard): boolean {
  return (
    run.parts === parts &&
    run.stretch.first === stretch.first &&
    run.stretch.last === stretch.last &&
    run.loop === loop &&
    run.fps === fps
  );
}

function closeLater(file: Promise<SoundFile | null>): void {
  void file.then(
    (open) => open?.close(),
    () => undefined,
  );
}
