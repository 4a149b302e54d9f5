import type { ModelDetails, ModelPart } from '../../../src-main/core/contract/api/model-details.ts';

/** A number format as people call it. */
export function formatName(format: string): string {
  const names: Readonly<Record<string, string>> = {
    F32: 'FP32',
    F16: 'FP16',
    BF16: 'BF16',
    F8_E4M3: 'FP8',
    F8_E4M3FN: 'FP8',
  };
  return names[format] ?? format;
}

/** The number format that most of a part's bytes are in; empty where none has most of them. */
export function mainFormat({ formats }: Pick<ModelPart, 'formats'>): string {
  const sorted = Object.entries(formats).sort(([, a], [, b]) => b - a);
  const total = sorted.reduce((sum, [, bytes]) => sum + bytes, 0);
  const [first] = sorted;
  return first !== undefined && first[1] > total / 2 ? formatName(first[0]) : '';
}

/** Of the diffusion model, in a word. */
export function precisionOf({ parts }: Pick<ModelDetails, 'parts'>): string {
  const dit = parts.find(({ part }) => part === 'dit');
  return dit === undefined ? '' : mainFormat(dit);
}

/** Millions or billions of numbers: "14.3 B", "38.2 M". */
export function formatParameters(parameters: number): string {
  if (parameters >= 999.5e6) return `${trim(parameters / 1e9)} B`;
  return `${trim(parameters / 1e6)} M`;
}

function trim(value: number): string {
  return String(Number(value.toFixed(value >= 99.5 ? 0 : value >= 0.995 ? 1 : 2)));
}

export type LayerError = NonNullable<ModelDetails['baked']>['layers'][number];

/** How far a bake is from its source. Relative errors, 0 is the same. */
export interface ErrorSummary {
  readonly mean: number;
  readonly worst: LayerError;
  /** The worst of each block, in the blocks' order; what belongs to none is left out. */
  readonly blocks: readonly number[];
}

/** @returns null where nothing was rounded */
export function errorSummary(layers: readonly LayerError[]): ErrorSummary | null {
  const [first] = layers;
  if (first === undefined) return null;
  const blocks: (number | undefined)[] = [];
  for (const { name, error } of layers) {
    const block = Number(/^blocks\.(\d+)\./.exec(name)?.[1] ?? NaN);
    if (Number.isInteger(block) && block < 1000) blocks[block] = Math.max(blocks[block] ?? 0, error);
  }
  return {
    mean: layers.reduce((sum, { error }) => sum + error, 0) / layers.length,
    worst: layers.reduce((worst, layer) => (layer.error > worst.error ? layer : worst), first),
    blocks: Array.from(blocks, (error) => error ?? 0),
  };
}

/** A share as a person reads it: "0.42 %". */
export function formatShare(share: number): string {
  const percent = share * 100;
  return `${Number(percent.toPrecision(2))} %`;
}
