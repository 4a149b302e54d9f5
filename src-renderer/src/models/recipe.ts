import type { Found, ImportRequest, Inspection } from '../../../src-main/core/contract/api/model-work.ts';

/** A part of a model that is one file, or an index that names its shards. */
export type Part = 'dit' | 'vae' | 'textEncoder' | 'tokenizer';
export type LoraChoice = ImportRequest['loras'][number];
export type FileSet = Found['sets'][number];

/** The files that a new model is made of, by path; null where none is chosen. */
export interface Recipe {
  readonly dit: string | null;
  /** The expert for low noise, of a model that has two. */
  readonly secondDit: string | null;
  readonly vae: string | null;
  readonly textEncoder: string | null;
  /** Null: the one inside the text encoder or beside it. */
  readonly tokenizer: string | null;
  readonly loras: readonly LoraChoice[];
  /** What else a found set names. */
  readonly rest: readonly string[];
}

export const emptyRecipe: Recipe = {
  dit: null,
  secondDit: null,
  vae: null,
  textEncoder: null,
  tokenizer: null,
  loras: [],
  rest: [],
};

/** Strength that Pusa's LoRA is published with. */
export const pusaStrength = 1.4;

/** What a path ends with, on either kind of system. */
export function fileName(path: string): string {
  return path.split(/[\\/]/).findLast((part) => part !== '') ?? path;
}

/** The folder of a path, as its system writes it. */
export function folderOf(path: string): string {
  const end = Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\'));
  return end <= 0 ? path : path.slice(0, end);
}

/** Files that can play a part, the first ones the likeliest: as they were found. */
export function candidates<F extends Inspection>(
  files: readonly F[],
  role: Inspection['role'],
): readonly F[] {
  return files.filter((file) => file.role === role && file.refused === null);
}

/** Whether a LoRA is one that gives every frame a time of its own. */
export function isPusa(path: string): boolean {
  return /pusa/i.test(fileName(path));
}

/** Pusa's LoRA; of a model of two experts the one of each, where there is such a pair. */
function pusaOf(loras: readonly LoraChoice[], isPair: boolean): LoraChoice[] {
  const pusa = loras.filter(({ path }) => isPusa(path));
  const of = (noise: RegExp): LoraChoice | undefined =>
    pusa.find(({ path }) => noise.test(fileName(path)) || noise.test(fileName(folderOf(path))));
  const [high, low] = [of(/(?<![a-z])high(?=noise|[^a-z]|$)/i), of(/(?<![a-z])low(?=noise|[^a-z]|$)/i)];
  return isPair && high !== undefined && low !== undefined && high !== low ? [high, low] : pusa.slice(0, 1);
}

/** The recipe of a set that was found whole. Pusa's LoRA is taken, others are there to be chosen. */
export function recipeOfSet(set: FileSet, files: readonly Inspection[]): Recipe {
  const of = (role: Part): string[] =>
    set.paths.filter((path) => files.some((file) => file.path === path && file.role === role));
  const [dit = null, secondDit = null] = of('dit');
  const [vae = null] = of('vae');
  const [textEncoder = null] = of('textEncoder');
  const [tokenizer = null] = of('tokenizer');
  const placed = new Set([dit, secondDit, vae, textEncoder, tokenizer]);
  return {
    dit,
    secondDit,
    vae,
    textEncoder,
    tokenizer,
    loras: pusaOf(set.loras, secondDit !== null),
    rest: set.paths.filter((path) => !placed.has(path)),
  };
}

/** Index of the first set that was not there before; −1: none. */
export function newSet(before: readonly FileSet[], now: readonly FileSet[]): number {
  const known = new Set(before.map(({ paths }) => paths.join('\0')));
  return now.findIndex(({ paths }) => !known.has(paths.join('\0')));
}

/** The same with an empty place filled where only one file can fill it. */
export function completed(recipe: Recipe, files: readonly Inspection[]): Recipe {
  const only = (role: Part): string | null => {
    const found = candidates(files, role);
    return found.length === 1 ? (found[0]?.path ?? null) : null;
  };
  return {
    ...recipe,
    dit: recipe.dit ?? only('dit'),
    vae: recipe.vae ?? only('vae'),
    textEncoder: recipe.textEncoder ?? only('textEncoder'),
    tokenizer: recipe.tokenizer ?? only('tokenizer'),
  };
}

/** Puts a file in the place that it is for; a LoRA is added to those chosen. */
export function withFile(recipe: Recipe, { path, role, refused }: Inspection): Recipe {
  if (role === null || refused !== null) return recipe;
  if (role === 'lora') return withLora(recipe, path, true);
  return { ...recipe, [role]: path };
}

/** Chooses a LoRA, or no longer. Pusa's strength is a control; others are made for one strength. */
export function withLora(recipe: Recipe, path: string, wanted: boolean, like?: LoraChoice): Recipe {
  const others = recipe.loras.filter((lora) => lora.path !== path);
  if (!wanted) return { ...recipe, loras: others };
  if (others.length < recipe.loras.length) return recipe;
  const chosen = like ?? { path, strength: isPusa(path) ? pusaStrength : 1, live: isPusa(path) };
  return { ...recipe, loras: [...others, chosen] };
}

export function changeLora(recipe: Recipe, path: string, change: Partial<LoraChoice>): Recipe {
  return {
    ...recipe,
    loras: recipe.loras.map((lora) => (lora.path === path ? { ...lora, ...change } : lora)),
  };
}

/** Parts without which nothing can be generated, that have no file yet. */
export function missingParts({ dit, vae, textEncoder, rest }: Recipe): readonly Exclude<Part, 'tokenizer'>[] {
  // Files of a set that are not known one by one may well be the missing ones.
  if (rest.length > 0 && dit === null && vae === null && textEncoder === null) return [];
  return [
    ...(dit === null ? (['dit'] as const) : []),
    ...(vae === null ? (['vae'] as const) : []),
    ...(textEncoder === null ? (['textEncoder'] as const) : []),
  ];
}

/** All files of a recipe without its LoRAs, none twice. */
export function pathsOf({ dit, secondDit, vae, textEncoder, tokenizer, rest }: Recipe): string[] {
  const named = [dit, secondDit, vae, textEncoder, tokenizer].filter((path) => path !== null);
  return [...new Set([...named, ...rest])];
}

/** What is asked of the studio; null while a part is missing. */
export function importOf(
  recipe: Recipe,
  { name, precision }: { readonly name: string; readonly precision: ImportRequest['precision'] },
): ImportRequest | null {
  const paths = pathsOf(recipe);
  if (missingParts(recipe).length > 0 || paths.length === 0) return null;
  const trimmed = name.trim();
  return {
    paths,
    id: null,
    name: trimmed === '' ? null : trimmed,
    loras: [...recipe.loras],
    precision,
  };
}

/** The files of a recipe that are known, LoRAs among them. */
export function filesOfRecipe<F extends Inspection>(recipe: Recipe, files: readonly F[]): readonly F[] {
  const wanted = new Set([...pathsOf(recipe), ...recipe.loras.map(({ path }) => path)]);
  return files.filter(({ path }) => wanted.has(path));
}
