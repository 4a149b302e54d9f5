import type { Asset, Clip, Fit, Project, Range } from '../contract/project.ts';
import { nameFrames } from './cells.ts';
import type { CellMark } from './marks.ts';
import type { SourcePlan } from './sources.ts';

/** What is looked for before generating. None of it stops a job. */
export type WarningCode =
  | 'RATE_RESAMPLED'
  | 'SHAPE_CROPPED'
  | 'SHAPE_CONTAINED'
  | 'SHAPE_STRETCHED'
  | 'SOURCE_ENLARGED'
  | 'SOURCE_ENDS_EARLY'
  | 'STATIC_END'
  | 'LENGTH_UNTRAINED'
  | 'COLOUR_MISMATCH'
  | 'CELLS_BLENDED'
  | 'NOTHING_TO_GENERATE';

/** One sentence for a person, with its figures beside it for translation. */
export interface Warning {
  readonly code: WarningCode;
  readonly text: string;
  readonly values: Readonly<Record<string, string | number>>;
}

/** Mean of a source's pixels per channel, 0 … 255. */
export type MeanColour = readonly [red: number, green: number, blue: number];

export interface PreflightInput {
  readonly project: Project;
  readonly range: Range;
  readonly cells: readonly CellMark[];
  readonly sources: SourcePlan;
  /** Longest range the model was trained on, in frames; left out when it is not known. */
  readonly trainedFrames?: number | undefined;
  /** By clip id, as far as measured. */
  readonly colours?: ReadonlyMap<string, MeanColour> | undefined;
}

/** Rates within this share of each other are taken as equal: 23.976 and 24 differ by 0.1 %. */
const rateTolerance = 0.002;
/** Shapes within this share of each other are taken as equal: less than 1 % is cut or stretched away. */
const shapeTolerance = 0.01;
/** Enlarging by less is not worth a word. */
const enlargeTolerance = 1.05;
/** Difference of mean colour that shows as a jump, of 255. */
const colourTolerance = 24;

/**
 * Looks over a range whose plan stands: what will be resampled, cropped, enlarged, static, out of the trained length
 * or of another colour. Only clips that are encoded are looked at.
 */
export function preflight(input: PreflightInput): Warning[] {
  const { project, range, cells, sources, trainedFrames } = input;
  const assets = new Map(project.assets.map((asset) => [asset.id, asset]));
  const used = new Set(sources.passes.flatMap(({ frames }) => frames.map(({ clipId }) => clipId)));
  const placed = project.clips.flatMap((clip) => {
    const asset = assets.get(clip.assetId);
    return used.has(clip.id) && asset !== undefined ? [{ clip, asset }] : [];
  });
  return [
    ...placed.flatMap(({ clip, asset }) => [
      ...rateWarnings(project, clip, asset),
      ...shapeWarnings(project, clip, asset),
      ...lengthWarnings(project, range, clip, asset),
    ]),
    ...(input.colours === undefined ? [] : colourWarnings(placed, input.colours)),
    ...cellWarnings(cells, sources),
    ...(trainedFrames !== undefined && range.frames > trainedFrames
      ? [
          warning(
            'LENGTH_UNTRAINED',
            `The range has ${range.frames} frames and the model was trained on ${trainedFrames}: expect flicker or a colour shift.`,
            { frames: range.frames, trainedFrames },
          ),
        ]
      : []),
  ];
}

function rateWarnings(project: Project, clip: Clip, asset: Asset): Warning[] {
  if (asset.kind === 'image' || asset.fps === 0) return [];
  if (Math.abs(asset.fps / project.fps - 1) <= rateTolerance) return [];
  const from = round(asset.fps);
  const to = round(project.fps);
  return [
    warning('RATE_RESAMPLED', `“${asset.name}” has ${from} frames per second and is resampled to ${to}.`, {
      clip: clip.id,
      name: asset.name,
      from,
      to,
    }),
  ];
}

const shapes: Record<Fit, { readonly code: WarningCode; readonly verb: string }> = {
  crop: { code: 'SHAPE_CROPPED', verb: 'cropped' },
  contain: { code: 'SHAPE_CONTAINED', verb: 'given borders' },
  stretch: { code: 'SHAPE_STRETCHED', verb: 'stretched' },
};

function shapeWarnings(project: Project, clip: Clip, asset: Asset): Warning[] {
  const across = project.width / asset.width;
  const down = project.height / asset.height;
  const size = `${asset.width}×${asset.height}`;
  const target = `${project.width}×${project.height}`;
  const values = { clip: clip.id, name: asset.name, size, target };
  const warnings: Warning[] = [];
  if (Math.max(across / down, down / across) - 1 > shapeTolerance) {
    const { code, verb } = shapes[clip.fit];
    warnings.push(warning(code, `“${asset.name}” is ${size} and is ${verb} to fit ${target}.`, values));
  }
  const scale = clip.fit === 'contain' ? Math.min(across, down) : Math.max(across, down);
  if (scale > enlargeTolerance) {
    const factor = round(scale);
    warnings.push(
      warning(
        'SOURCE_ENLARGED',
        `“${asset.name}” is ${size} and is enlarged ${factor} times to fit ${target}.`,
        {
          ...values,
          factor,
        },
      ),
    );
  }
  return warnings;
}

function lengthWarnings(project: Project, range: Range, clip: Clip, asset: Asset): Warning[] {
  if (asset.kind === 'image' || asset.duration === 0) return [];
  const lastFrame = Math.min(clip.frames, range.start + range.frames - clip.start) - 1;
  const needed = clip.sourceStart + lastFrame / project.fps;
  if (needed < asset.duration) return [];
  return [
    warning(
      'SOURCE_ENDS_EARLY',
      `“${asset.name}” ends after ${round(asset.duration)} s, before its clip does; its last frame is repeated.`,
      { clip: clip.id, name: asset.name, duration: round(asset.duration) },
    ),
  ];
}

function colourWarnings(
  placed: readonly { readonly clip: Clip; readonly asset: Asset }[],
  colours: ReadonlyMap<string, MeanColour>,
): Warning[] {
  const known = placed
    .flatMap(({ clip, asset }) => {
      const colour = colours.get(clip.id);
      return colour === undefined ? [] : [{ clip, asset, colour }];
    })
    .sort((a, b) => a.clip.start - b.clip.start);
  return known.slice(1).flatMap(({ clip, asset, colour }, i) => {
    const before = known[i]!;
    const apart = Math.max(...colour.map((value, channel) => Math.abs(value - before.colour[channel]!)));
    if (!(apart > colourTolerance)) return [];
    return [
      warning(
        'COLOUR_MISMATCH',
        `“${before.asset.name}” and “${asset.name}” differ in colour or brightness; the result will drift from one to the other.`,
        { clip: before.clip.id, other: clip.id, name: before.asset.name, otherName: asset.name },
      ),
    ];
  });
}

function cellWarnings(cells: readonly CellMark[], sources: SourcePlan): Warning[] {
  const warnings: Warning[] = [];
  const last = cells.length - 1;
  const end = sources.passes.at(-1);
  if (last > 0 && end?.firstCell === last && end.frames.length === 1) {
    warnings.push(
      warning(
        'STATIC_END',
        'The range ends on a picture, which fills its last four frames alike; drop the last three if the stop shows.',
        { frames: 3 },
      ),
    );
  }
  const blended = cells.flatMap(({ m }, cell) => (m < 1 && sources.sourced[cell] !== true ? [cell] : []));
  if (blended.length > 0) {
    const frames = blended.map(nameFrames).join(', ');
    warnings.push(
      warning(
        'CELLS_BLENDED',
        `No clip or picture lies under ${frames}: they start from a blend of their neighbours.`,
        {
          frames,
        },
      ),
    );
  }
  if (cells.every(({ m }) => m === 0)) {
    warnings.push(
      warning('NOTHING_TO_GENERATE', 'Every frame is fixed, so there is nothing to generate.', {}),
    );
  }
  return warnings;
}

function warning(code: WarningCode, text: string, values: Warning['values']): Warning {
  return { code, text, values };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
