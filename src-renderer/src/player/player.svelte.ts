import { untrack } from 'svelte';
import { createSubscriber } from 'svelte/reactivity';
import type { Range } from '../../../src-main/core/contract/project.ts';
import type { JobRecord, TakeSummary } from '../../../src-main/core/contract/records.ts';
import type { PusaError } from '../../../src-main/core/errors.ts';
import { pageAddress, Pictures, type MediaPort, type Want } from '../media/pictures.ts';
import type { Medium, StandIn } from '../media/protocol.ts';
import { previewPicture } from '../queue/preview.ts';
import { boundStretch, noBounds, withBound } from '../state/bounds.ts';
import type { Session } from '../state/session.svelte.ts';
import { shuttle, start, tick, type Clock, type Stretch } from './clock.ts';
import {
  cellAt,
  Composer,
  edges,
  endOf,
  rangeAt,
  runningJob,
  stepCell,
  takeOf,
  type Layer,
} from './compose.ts';
import { fitted, type Zoom } from './rect.ts';
import type { SoundPart } from './heard.ts';
import { Sound } from './sound.svelte.ts';
import type { Content } from './paint.ts';
import { Shown, type Side } from './shown.ts';

export type Loop = 'off' | 'range' | 'marks' | 'all';

/** Frames decoded ahead of the playhead while playing, and around it while not. */
const ahead = 16;
const around = 2;

/** What one player shows and how it plays. Frames are the project's. */
export class Player {
  readonly session: Session;
  readonly pictures: Pictures;
  readonly sound: Sound;

  zoom = $state.raw<Zoom>(fitted);
  /** Where the divider of the wipe stands, from the picture's left edge 0 to its right edge 1. */
  wipe = $state(0.5);
  /** How much of the result lies over the source. */
  onion = $state(0.5);
  loop = $state<Loop>('range');
  /** Times the project's rate; negative is backwards. */
  speed = $state(1);
  guides = $state(false);

  /** Parts of the project one by one: ranges and prompts change without making the composer anew. */
  readonly #clips = $derived.by(() => this.session.project?.clips ?? null);
  readonly #tracks = $derived.by(() => this.session.project?.tracks);
  readonly #assets = $derived.by(() => this.session.project?.assets ?? null);
  readonly #fps = $derived.by(() => this.session.project?.fps ?? 16);
  readonly #width = $derived.by(() => this.session.project?.width ?? 16);
  readonly #height = $derived.by(() => this.session.project?.height ?? 16);
  readonly composer: Composer | null = $derived.by(() => {
    const [clips, assets, tracks] = [this.#clips, this.#assets, this.#tracks];
    if (clips === null || assets === null) return null;
    const frame = { fps: this.#fps, width: this.#width, height: this.#height };
    return new Composer({ clips, assets, ...(tracks && { tracks }), ...frame }, pageAddress);
  });
  /** First frame behind everything. */
  readonly end: number = $derived.by(() => {
    const { project } = this.session;
    return project === null ? 0 : endOf(project);
  });
  /** The range under the playhead. */
  readonly range: Range | null = $derived.by(() => {
    const { project, range, playhead } = this.session;
    return project === null ? null : rangeAt(project, range, playhead);
  });
  readonly take: TakeSummary | null = $derived.by(() =>
    takeOf(this.session.takes, this.range, this.session.takeId),
  );
  readonly job: JobRecord | null = $derived.by(() => runningJob(this.session.jobs, this.range));
  /** Cell under the playhead, counted from 0 in its range. */
  readonly cell: number | null = $derived.by(() => cellAt(this.range, this.session.playhead));
  /** What plays. */
  readonly stretch: Stretch = $derived.by(() => {
    if (this.loop === 'marks') return boundStretch(this.session.bounds, this.end);
    if (this.loop !== 'range' || this.range === null) return boundStretch(noBounds, this.end);
    return { first: this.range.start, last: this.range.start + this.range.frames - 1 };
  });

  readonly #sounds: readonly SoundPart[] = $derived.by(
    () => this.composer?.sounds(this.session.shownTakes) ?? [],
  );

  readonly #shown = new Shown();
  #changed: () => void = () => undefined;
  /** Whoever calls it is run again when a picture that is waited for came or failed. */
  readonly #follow = createSubscriber((update) => {
    this.#changed = update;
    return () => (this.#changed = () => undefined);
  });
  #previewKey: unknown = null;
  #previewCell = -1;
  #previewCanvas: OffscreenCanvas | null = null;

  /** @param onStandIn a medium's pictures come from the studio; told once for each codec */
  constructor(session: Session, port: MediaPort, onStandIn: (medium: Medium, standIn: StandIn) => void) {
    this.session = session;
    this.sound = new Sound(({ message, remedy, code }) => session.tell('info', message, remedy, code));
    this.pictures = new Pictures(port, {
      onChange: () => {
        if (this.#shown.isWaiting) this.#changed();
      },
      onStandIn,
    });
  }

  /** Runs playback and decoding for as long as a component lives: call it while one is initialised. */
  run(): void {
    $effect(() => {
      if (!this.session.playing) return;
      return untrack(() => this.#play());
    });
    $effect(() => {
      this.pictures.want(this.#wants());
    });
    $effect(() => () => {
      this.pictures.close();
      this.sound.close();
    });
  }

  toggle(): void {
    const { session } = this;
    if (session.playing) {
      session.playing = false;
      return;
    }
    if (this.end === 0) return;
    this.speed = 1;
    session.playing = true;
  }

  /** J and L: faster with each press. */
  shuttle(direction: 1 | -1): void {
    if (this.end === 0) return;
    this.speed = shuttle(this.session.playing ? this.speed : 0, direction);
    this.session.playing = true;
  }

  stop(): void {
    this.session.playing = false;
    this.speed = 1;
  }

  step(by: 1 | -1): void {
    this.seek(this.session.playhead + by);
  }

  stepCell(by: 1 | -1): void {
    this.seek(stepCell(this.range, this.session.playhead, by));
  }

  /** To the next place where a clip or a range begins or ends. */
  stepEdge(by: 1 | -1): void {
    const { project, playhead } = this.session;
    if (project === null) return;
    const places = edges(project);
    const next = by > 0 ? places.find((edge) => edge > playhead) : places.findLast((edge) => edge < playhead);
    if (next !== undefined) this.seek(next);
  }

  toStart(): void {
    const first = this.range?.start ?? 0;
    this.seek(this.session.playhead === first ? 0 : first);
  }

  toEnd(): void {
    const last = this.range === null ? this.end - 1 : this.range.start + this.range.frames - 1;
    this.seek(this.session.playhead === last ? this.end - 1 : last);
  }

  /** Stops, and goes to a frame between the first and the last. */
  seek(frame: number): void {
    this.session.playing = false;
    this.session.playhead = Math.min(Math.max(0, Math.round(frame)), Math.max(0, this.end - 1));
  }

  mark(which: 'in' | 'out'): void {
    const { session } = this;
    session.bounds = withBound(session.bounds, which, session.playhead);
    this.loop = 'marks';
  }

  clearMarks(): void {
    this.session.bounds = noBounds;
    if (this.loop === 'marks') this.loop = 'range';
  }

  toggleLoop(): void {
    const { in: from, out } = this.session.bounds;
    this.loop = this.loop !== 'off' ? 'off' : from === null && out === null ? 'range' : 'marks';
  }

  /** What the source side shows at the playhead. */
  source(): Content {
    return this.#content('source', this.#layer('source', this.session.playhead));
  }

  /** What the result side shows: the preview while it is made, then the take; outside of ranges the timeline. */
  result(): Content {
    const { preview, playhead } = this.session;
    if (preview !== null && this.job !== null && preview.jobId === this.job.id && this.cell !== null) {
      return { kind: 'preview', image: this.#previewOf(preview, this.cell) };
    }
    if (this.range !== null && this.take === null) return { kind: 'none' };
    return this.#content('result', this.#layer('result', playhead));
  }

  /** Why a picture that should be seen now cannot be. */
  problem(): PusaError | null {
    this.#follow();
    for (const { medium, time, size } of this.#layersAt(this.session.playhead)) {
      const error = this.pictures.errorOf(medium);
      if (error !== null && !this.pictures.has({ medium, time, ...size })) return error;
    }
    return null;
  }

  #play(): () => void {
    const { session } = this;
    let clock: Clock | null = null;
    let shown = -1;
    const step = (now: number): void => {
      const fps = session.project?.fps ?? 1;
      // Somebody moved the playhead, or J, K, L changed the speed: it goes on from there.
      if (clock === null) clock = start(session.playhead, now, this.speed, this.stretch);
      else if (session.playhead !== shown) clock = { frame: session.playhead, at: now, speed: this.speed };
      else if (clock.speed !== this.speed) clock = { frame: shown, at: now, speed: this.speed };
      const next = tick(clock, now, fps, this.stretch, this.loop !== 'off');
      clock = next.clock;
      shown = next.frame;
      if (session.playhead !== shown) session.playhead = shown;
      this.#hear(next.place, now, fps);
      if (next.ended) this.stop();
      else handle = requestAnimationFrame(step);
    };
    let handle = requestAnimationFrame(step);
    return () => {
      cancelAnimationFrame(handle);
      this.sound.stop();
    };
  }

  /** Shuttling and playing backwards are silent. */
  #hear(place: number, now: number, fps: number): void {
    if (this.speed !== 1) this.sound.stop();
    else {
      const { stretch, loop } = this;
      this.sound.follow({ parts: this.#sounds, place, now, stretch, loop: loop !== 'off', fps });
    }
  }

  /** Pictures needed now, then those soon. */
  #wants(): Want[] {
    const { playhead, playing } = this.session;
    const wants: Want[] = [];
    const add = (frame: number): void => {
      for (const { medium, time, size } of this.#layersAt(frame)) wants.push({ medium, time, ...size });
    };
    add(playhead);
    if (playing) {
      const { first, last } = this.stretch;
      const direction = this.speed < 0 ? -1 : 1;
      // At higher speeds only every so many frames is shown.
      const stride = Math.max(1, Math.round(Math.abs(this.speed)));
      for (let i = 1; i <= ahead; i++) {
        let frame = playhead + direction * stride * i;
        if (frame > last || frame < first) {
          if (this.loop === 'off') break;
          const length = last - first + 1;
          frame = first + ((((frame - first) % length) + length) % length);
        }
        add(frame);
      }
    } else {
      for (let i = 1; i <= around; i++) {
        add(playhead + i);
        add(playhead - i);
      }
    }
    return wants;
  }

  #layersAt(frame: number): Layer[] {
    const { view } = this.session;
    const isTwo = view !== 'source' && view !== 'result';
    const source = view === 'result' ? null : this.#layer('source', frame);
    const result = view === 'source' ? null : this.#layer('result', frame);
    const layers = [isTwo || view === 'source' ? source : null, result];
    // The result view shows the source where there is no result.
    if (view === 'result' && result === null) layers.push(this.#layer('source', frame));
    return layers.filter((layer) => layer !== null);
  }

  #layer(side: Side, frame: number): Layer | null {
    const { composer, session } = this;
    if (composer === null || session.project === null || frame < 0) return null;
    if (side === 'source') return composer.source(frame);
    const range = rangeAt(session.project, session.range, frame);
    if (range === null) return composer.source(frame);
    const take = takeOf(session.takes, range, session.takeId);
    return take === null ? null : composer.result(take, range, frame);
  }

  #content(side: Side, layer: Layer | null): Content {
    this.#follow();
    if (layer === null) {
      this.#shown.nothing(side);
      return { kind: 'gap' };
    }
    const { medium, time, size, fit } = layer;
    const image = this.#shown.latest(side, medium.id, this.pictures.get({ medium, time, ...size }));
    return image === null ? { kind: 'waiting' } : { kind: 'picture', image, fit };
  }

  #previewOf(preview: NonNullable<Session['preview']>, cell: number): OffscreenCanvas {
    if (this.#previewCanvas === null || this.#previewKey !== preview || this.#previewCell !== cell) {
      const canvas = new OffscreenCanvas(preview.width, preview.height);
      const pixels = new ImageData(previewPicture(preview, cell), preview.width, preview.height);
      canvas.getContext('2d')?.putImageData(pixels, 0, 0);
      this.#previewCanvas = canvas;
      this.#previewKey = preview;
      this.#previewCell = cell;
    }
    return this.#previewCanvas;
  }
}
