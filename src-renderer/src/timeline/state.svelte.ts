/* eslint-disable svelte/prefer-svelte-reactivity -- maps and sets here are made anew, never changed */
import type { Marker, Project, Range } from '../../../src-main/core/contract/project.ts';
import type { TakeSummary } from '../../../src-main/core/contract/records.ts';
import { applyCommands } from '../../../src-main/core/edit/apply.ts';
import type { Command } from '../../../src-main/core/edit/commands.ts';
import { cellCount, cellOfFrame } from '../../../src-main/core/timeline/cells.ts';
import { hiddenTracks, lockedTracks } from '../../../src-main/core/timeline/tracks.ts';
import { t } from '../i18n/index.svelte.ts';
import { withBound, type Bounds } from '../state/bounds.ts';
import type { Session } from '../state/session.svelte.ts';
import { rangeDefaults } from './edits.ts';
import { hitTest, type Hit } from './hit.ts';
import type { Brush, GestureContext, Outcome, Selected } from './gesture.ts';
import { layoutRows, rowGap, rulerHeight, type Layout, type Row } from './layout.ts';
import { buildScene, RangeWorks, type Scene, type WorkedRange } from './scene.ts';
import type { SnapLines } from './snap.ts';
import { fresh, readStored, writeStored, type Stored } from './stored.ts';
import { clampView, emptyLength, fit, fitAll, panBy, reveal, zoomAbout, type View } from './view.ts';

const mostTakes = 40;
/** What undoing a change of a track is called. */
const trackEdits = {
  locked: { on: 'timeline.edit.lock', off: 'timeline.edit.unlock' },
  hidden: { on: 'timeline.edit.hide', off: 'timeline.edit.show' },
} as const;
const noMarkers: readonly Marker[] = [];

/** How the projects of this window were looked at last, as long as it lasts. `view` is null where all was in sight. */
const looks = new Map<string, { readonly view: View | null; readonly scrollY: number }>();

/** Something from outside over the timeline. */
export interface DropGhost {
  readonly start: number;
  readonly frames: number;
  readonly track: number;
  readonly name: string;
}

/** How a window looks at the timeline of a project: its place, its previews, what is remembered of it. */
export class TimelineState {
  readonly session: Session;
  readonly works = new RangeWorks();

  view = $state.raw<View>({ start: 0, scale: 8, width: 800 });
  scrollY = $state(0);
  /** Of the canvas, with the ruler; 0 until it is known. */
  height = $state(0);
  /** What the project would be if the gesture ended now. */
  preview = $state.raw<Project | null>(null);
  outcome = $state.raw<Outcome | null>(null);
  hover = $state.raw<Hit | null>(null);
  /** What a drag over cells paints: chosen among the tools, or for as long as a key is held. */
  brush = $state<Brush | null>(null);
  heldBrush = $state<Brush | null>(null);
  drop = $state.raw<DropGhost | null>(null);
  stored = $state.raw<Stored>(fresh);
  /** Tracks shown above those with clips. */
  extraTracks = $state(0);
  /** Seeds of takes, as far as they were asked for. */
  seeds = $state.raw<ReadonlyMap<string, number>>(new Map());
  /** What changed, for those who listen. */
  announcement = $state('');

  #last: Scene | null = null;
  #projectId: string | null = null;
  /** All is in sight and nobody has looked elsewhere since: it stays so when the window's size changes. */
  #isWhole = true;
  #asked = new Set<string>();

  readonly project: Project | null = $derived.by(() => this.preview ?? this.session.project);
  readonly scene: Scene | null = $derived.by(() => {
    if (this.project === null) return null;
    this.#last = buildScene(this.project, this.#last);
    return this.#last;
  });
  readonly fps: number = $derived(this.project?.fps ?? 16);
  readonly markers: readonly Marker[] = $derived(this.project?.markers ?? noMarkers);
  readonly bounds: Bounds = $derived.by(() => {
    const { bounds } = this.session;
    const moved = this.outcome?.bound;
    return moved === undefined ? bounds : withBound(bounds, moved.bound, moved.frame);
  });
  readonly length: number = $derived(Math.max(emptyLength, this.scene?.length ?? 0));
  readonly current: Range | null = $derived.by(
    () => this.scene?.ranges.get(this.session.rangeId ?? '') ?? null,
  );
  readonly currentWork: WorkedRange | null = $derived(this.current && this.worked(this.current));
  /** Takes of the current range, the latest first. */
  readonly takes: readonly TakeSummary[] = $derived.by(() =>
    this.session.takes.filter(({ rangeId }) => rangeId === this.session.rangeId).slice(0, mostTakes),
  );
  readonly promoted: ReadonlySet<string> = $derived.by(
    () => new Set(this.session.shownTakes.flatMap(({ promotedClipId }) => promotedClipId ?? [])),
  );
  readonly trackCount: number = $derived(Math.min(64, (this.scene?.tracks.length ?? 1) + this.extraTracks));
  readonly layout: Layout = $derived(
    layoutRows({
      tracks: this.trackCount,
      lanes: this.scene?.laneCount ?? 0,
      steps: this.current?.sampler.steps ?? null,
      planFolded: this.stored.planFolded,
      takeIds: this.takes.map(({ id }) => id),
      ...(this.height === 0 ? {} : { room: this.height - rulerHeight }),
    }),
  );
  readonly selected: ReadonlySet<string> = $derived.by(() => new Set(this.session.selection.clipIds));
  readonly locked: ReadonlySet<number> = $derived(lockedTracks(this.project ?? {}));
  readonly hidden: ReadonlySet<number> = $derived(hiddenTracks(this.project ?? {}));
  /** Tracks on which nothing can be done: locked or hidden. */
  readonly closed: ReadonlySet<number> = $derived(new Set([...this.locked, ...this.hidden]));
  readonly mostScroll: number = $derived(Math.max(0, this.layout.height + rulerHeight + 8 - this.height));
  /** Steps done by a job that runs for the current range; null while none does. */
  readonly step: number | null = $derived.by(() => {
    const { jobs, progress, rangeId } = this.session;
    const job = jobs.find((each) => each.state === 'running' && each.rangeId === rangeId);
    if (job === undefined || this.current === null) return null;
    const at = progress.get(job.id) ?? job.progress;
    if (at === null) return 0;
    if (at.phase === 'denoise') return at.done;
    return at.phase === 'decode' || at.phase === 'save' ? this.current.sampler.steps : 0;
  });

  constructor(session: Session) {
    this.session = session;
  }

  worked(range: Range): WorkedRange {
    return this.works.of(this.project!, range, this.session.shownTakes);
  }

  /** Called when another project is shown: as it was looked at last, at first with all of it in sight. */
  enter(projectId: string | null): void {
    if (projectId === this.#projectId) return;
    this.leave();
    this.#projectId = projectId;
    this.stored = projectId === null ? fresh : readStored(localStorage, projectId);
    this.preview = null;
    this.outcome = null;
    this.extraTracks = 0;
    this.#asked.clear();
    const { view, scrollY } = looks.get(projectId ?? '') ?? { view: null, scrollY: 0 };
    if (view === null) this.showAll();
    else this.#look({ ...view, width: this.view.width });
    this.scrollTo(scrollY);
  }

  /** Remembers how the project is looked at. */
  leave(): void {
    if (this.#projectId === null) return;
    looks.set(this.#projectId, { view: this.#isWhole ? null : this.view, scrollY: this.scrollY });
  }

  store(change: Partial<Stored>): void {
    this.stored = { ...this.stored, ...change };
    if (this.#projectId !== null) writeStored(localStorage, this.#projectId, this.stored);
  }

  // Looking

  resize(width: number, height: number): void {
    const view = clampView({ ...this.view, width }, this.length, this.fps);
    this.height = height;
    if (this.#isWhole) this.view = fitAll(view, this.scene?.length ?? 0, this.fps);
    else this.view = view;
    this.scrollTo(this.scrollY);
  }

  /** Something came or went: what was in sight as a whole stays so. */
  keepWhole(): void {
    if (this.#isWhole && this.preview === null) this.showAll();
  }

  showAll(): void {
    this.view = fitAll(this.view, this.scene?.length ?? 0, this.fps);
    this.#isWhole = true;
  }

  #look(view: View): void {
    const { start, scale, width } = this.view;
    if (view.start === start && view.scale === scale && view.width === width) return;
    this.#isWhole = false;
    this.view = view;
  }

  showRange(rangeId: string): void {
    const range = this.scene?.ranges.get(rangeId);
    if (range === undefined) return;
    this.#look(fit(this.view, range.start, range.start + range.frames, this.length, this.fps));
  }

  zoomBy(factor: number, x = this.#zoomCentre()): void {
    this.#look(zoomAbout(this.view, x, factor, this.length, this.fps));
  }

  zoomTo(scale: number): void {
    this.zoomBy(scale / this.view.scale);
  }

  pan(pixels: number): void {
    this.#look(panBy(this.view, pixels, this.length, this.fps));
  }

  /** By whole pixels: between them texts and lines are blurred. */
  scrollTo(y: number): void {
    this.scrollY = Math.round(Math.min(this.mostScroll, Math.max(0, y)));
  }

  /** Scrolls so far that a row is seen to its end. */
  revealRow(is: (row: Row) => boolean): void {
    const row = this.layout.rows.find(is);
    if (row === undefined) return;
    const end = rulerHeight + row.y + row.height + rowGap;
    if (end - this.scrollY > this.height) this.scrollTo(end - this.height);
  }

  /** Opens the plan, where it can be seen, or folds it. */
  foldPlan(isFolded: boolean): void {
    this.store({ planFolded: isFolded });
    if (!isFolded) this.revealRow(({ kind }) => kind === 'plan');
  }

  reveal(frame: number): void {
    this.#look(reveal(this.view, frame, this.length, this.fps));
  }

  /** The playhead where it is seen, else the middle. */
  #zoomCentre(): number {
    const x = (this.session.playhead - this.view.start) * this.view.scale;
    return x >= 0 && x <= this.view.width ? x : this.view.width / 2;
  }

  hit(x: number, y: number): Hit {
    const { scene } = this;
    if (scene === null) return { on: 'nothing', frame: 0 };
    return hitTest(
      {
        scene,
        layout: this.layout,
        view: this.view,
        scrollY: this.scrollY,
        current: this.current,
        steps: this.current?.sampler.steps ?? 1,
        planFolded: this.stored.planFolded,
        markers: this.markers,
        bounds: this.bounds,
        hidden: this.hidden,
        cellsOf: (range) => this.worked(range).cells,
      },
      x,
      y,
    );
  }

  // Gestures

  get gestureContext(): GestureContext | null {
    const { session, scene } = this;
    if (session.project === null || scene === null) return null;
    return {
      project: session.project,
      scene,
      layout: this.layout,
      view: this.view,
      scrollY: this.scrollY,
      selected: this.selection,
      brush: this.heldBrush ?? this.brush,
      lines: this.stored.snapping ? this.snapLines(scene) : null,
      closed: this.closed,
      defaults: rangeDefaults(session.model, newId()),
      newId,
      worked: (range) => this.worked(range),
    };
  }

  get selection(): Selected {
    const { clipIds, cells } = this.session.selection;
    return { clipIds: [...clipIds], cells: cells && { first: cells.first, last: cells.last } };
  }

  snapLines(scene: Scene): SnapLines {
    const { in: from, out } = this.session.bounds;
    return {
      edges: scene.edges,
      points: [
        this.session.playhead,
        ...this.markers.map(({ frame }) => frame),
        ...(from === null ? [] : [from]),
        ...(out === null ? [] : [out + 1]),
      ],
      ranges: scene.ordered,
    };
  }

  /** Shows what a gesture stands at. */
  show(outcome: Outcome): void {
    const { project } = this.session;
    this.outcome = outcome;
    if (outcome.selected !== undefined && outcome.commands.length === 0) this.select(outcome.selected);
    if (outcome.playhead !== undefined) this.seek(outcome.playhead);
    if (project === null) return;
    try {
      this.preview = outcome.commands.length === 0 ? null : applyCommands(project, outcome.commands);
    } catch {
      // Not possible just here: what was possible last stays in sight, and is what would be done.
      this.outcome = { ...outcome, commands: [] };
    }
  }

  /** Ends a gesture: does what it stands at. */
  async finish(outcome: Outcome | null): Promise<void> {
    const added = outcome?.commands.find((command) => command.type === 'addRange');
    const edited =
      outcome !== null && outcome.commands.length > 0
        ? this.edit(t(outcome.label), outcome.commands)
        : Promise.resolve(false);
    this.preview = null;
    this.outcome = null;
    if (outcome?.selected !== undefined) this.select(outcome.selected);
    if (outcome?.bound !== undefined) this.setBound(outcome.bound.bound, outcome.bound.frame);
    if (added !== undefined) this.session.showRange(added.range.id);
    await edited;
  }

  abandon(): void {
    this.preview = null;
    this.outcome = null;
  }

  async edit(label: string, commands: readonly Command[]): Promise<boolean> {
    if (commands.length === 0) return false;
    const done = await this.session.edit(label, commands);
    if (done) this.announcement = label;
    return done;
  }

  // Choosing

  select({ clipIds, cells }: Selected): void {
    const { selection } = this.session;
    const isSame =
      selection.clipIds.length === clipIds.length &&
      selection.clipIds.every((id, i) => id === clipIds[i]) &&
      selection.cells?.first === cells?.first &&
      selection.cells?.last === cells?.last;
    if (!isSame) this.session.selection = { clipIds: [...clipIds], cells: cells && { ...cells } };
  }

  seek(frame: number): void {
    this.session.playhead = Math.max(0, Math.min(frame, 10_000_000));
  }

  /** Moves the playhead and keeps it in sight. */
  goTo(frame: number): void {
    this.seek(frame);
    this.reveal(this.session.playhead);
  }

  /** The cell of the current range under the playhead; null where it has none. */
  get playheadCell(): number | null {
    const { current } = this;
    if (current === null) return null;
    const inside = this.session.playhead - current.start;
    if (inside < 0 || inside >= current.frames) return null;
    return Math.min(cellCount(current.frames) - 1, cellOfFrame(inside));
  }

  // In and out, and tracks: of this window

  /** @param frame inclusive, either of them; an out before the in, or an in after the out, takes the other away */
  setBound(bound: 'in' | 'out', frame: number): void {
    this.session.bounds = withBound(this.session.bounds, bound, frame);
  }

  toggleTrack(which: 'locked' | 'hidden', track: number): void {
    const now = { locked: this.locked.has(track), hidden: this.hidden.has(track) };
    const next = { ...now, [which]: !now[which] };
    void this.edit(t(trackEdits[which][next[which] ? 'on' : 'off'], { number: track + 1 }), [
      { type: 'setTrack', track, ...next },
    ]);
    if (!next[which]) return;
    const out = new Set(this.scene?.tracks[track]?.clips.map(({ id }) => id));
    this.select({ ...this.selection, clipIds: this.selection.clipIds.filter((id) => !out.has(id)) });
  }

  /** Asks for the seeds of takes that are seen. */
  async askSeeds(takes: readonly TakeSummary[]): Promise<void> {
    for (const { id } of takes) {
      if (this.#asked.has(id)) continue;
      this.#asked.add(id);
      try {
        const { sampler } = await this.session.client.api.takes.get({ takeId: id });
        this.seeds = new Map(this.seeds).set(id, sampler.seed);
      } catch {
        // A take that is gone is about to leave the list as well.
      }
    }
  }
}

export function newId(): string {
  return crypto.randomUUID();
}
