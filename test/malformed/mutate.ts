/** The same numbers for the same seed (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 … below − 1 */
  int(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.int(list.length)]!;
  }
}

/** One malformed input. */
export interface Mutant {
  /** What was changed, such as `ranges[0].marks[2].m` or `page 3 (media), cell count`. */
  readonly field: string;
  /** How: `NaN`, `cut to 17 bytes`. */
  readonly change: string;
  /** The change cannot be valid, whatever the rest says. */
  readonly mustRefuse: boolean;
  /**
   * Gives it to the code under test.
   * @returns why it is right to accept it
   * @throws what the code under test throws; {@link WronglyAccepted}
   */
  feed(): Promise<string>;
}

/** An accepted input that gave something invalid. */
export class WronglyAccepted extends Error {}

/** One kind of input and the ways to break it; `draw` number `index` takes way `index` of them, in turn. */
export interface Target {
  readonly name: string;
  /** How many cases of each round, which has a share of every target. */
  readonly share: number;
  /** @param folder an empty folder for its files */
  prepare(
    folder: string,
  ): Promise<{ readonly sound: Mutant; draw(random: Random, index: number): Promise<Mutant> }>;
}

/** A change of bytes, before it is known what reads them. */
export interface ByteChange {
  readonly field: string;
  readonly change: string;
  readonly mustRefuse: boolean;
  readonly bytes: Uint8Array;
}

/** Cut short: never right, as every format here says how long it is. */
export function truncated(random: Random, bytes: Uint8Array): ByteChange {
  const length = random.pick([1, 7, random.int(bytes.length), bytes.length >> 1, bytes.length - 1]);
  return {
    field: 'length',
    change: `cut to ${length} of ${bytes.length} bytes`,
    mustRefuse: true,
    bytes: bytes.subarray(0, length),
  };
}

export function emptied(): ByteChange {
  return { field: 'length', change: 'no bytes at all', mustRefuse: true, bytes: new Uint8Array() };
}

/** Bytes of another kind of file. */
export function ofAnotherKind(random: Random): ByteChange {
  const [kind, text] = random.pick([
    ['text', 'A boat comes home.\n'.repeat(40)],
    ['an archive', `PK\x03\x04${'\0'.repeat(400)}`],
    ['a document', `%PDF-1.7\n${'x'.repeat(400)}`],
    ['a HEIC picture', `\0\0\0\x18ftypheic\0\0\0\0mif1heic${'\0'.repeat(400)}`],
    ['zeros', '\0'.repeat(5000)],
    ['a video cut short', `\0\0\0\x18ftypisom\0\0\x02\0isommp41${'\0\0\0\x08free'.repeat(40)}`],
  ] as const);
  return { field: 'kind', change: kind, mustRefuse: true, bytes: Buffer.from(text, 'latin1') };
}

/** Some bytes of a region replaced. */
export function scrambled(
  random: Random,
  bytes: Uint8Array,
  region: { name: string; at: number; length: number },
): ByteChange {
  // Not slice(): that of a Buffer shares its memory.
  const copy = new Uint8Array(bytes);
  const at = region.at + random.int(region.length);
  const length = Math.min(random.pick([1, 1, 2, 4, 16]), region.at + region.length - at);
  for (let i = 0; i < length; i++) copy[at + i] = copy[at + i]! ^ (1 + random.int(255));
  return {
    field: `${region.name}, byte ${at - region.at}`,
    change: `${length} bytes replaced`,
    mustRefuse: false,
    bytes: copy,
  };
}

/** A big-endian or little-endian number in a file. */
export interface NumberField {
  readonly name: string;
  readonly at: number;
  readonly bytes: 1 | 2 | 4;
  readonly littleEndian?: boolean;
}

/** A number of a file set to something it was not. `mustRefuse` says whether any other value is wrong. */
export function renumbered(
  random: Random,
  bytes: Uint8Array,
  field: NumberField,
  mustRefuse = false,
): ByteChange {
  const copy = Buffer.from(bytes);
  const most = 2 ** (8 * field.bytes) - 1;
  const read =
    field.littleEndian === true
      ? copy.readUIntLE(field.at, field.bytes)
      : copy.readUIntBE(field.at, field.bytes);
  const options = [0, 1, read + 1, read - 1, read * 2, most, (most + 1) / 2, random.int(most)];
  const value = random.pick(options.filter((option) => option !== read && option >= 0 && option <= most));
  if (field.littleEndian === true) copy.writeUIntLE(value, field.at, field.bytes);
  else copy.writeUIntBE(value, field.at, field.bytes);
  return { field: field.name, change: `${read} becomes ${value}`, mustRefuse, bytes: copy };
}

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** A value with one field changed. */
export interface JsonChange {
  readonly field: string;
  readonly change: string;
  readonly mustRefuse: boolean;
  readonly value: unknown;
}

interface Place {
  readonly path: string;
  readonly key: string | number;
  readonly keys: readonly (string | number)[];
  readonly value: Json;
}

const drop = Symbol('drop');

/** Changes that suit a value: name, the new value, and whether it cannot be right. */
function changesOf({ key, value, keys }: Place): readonly (readonly [string, unknown, boolean])[] {
  // Only these may be absent or null (see `core/contract`).
  const optional = key === 'm' && keys.includes('marks');
  const nullable = key === 'preset' || (key === 'model' && value === null);
  const absent = ['missing', drop, !optional && typeof key === 'string'] as const;
  if (typeof value === 'number') {
    return [
      ['NaN', Number.NaN, true],
      ['infinite', Number.POSITIVE_INFINITY, true],
      // The numbers of a plan have bounds in a job only: a take just records them.
      ['huge', 1e300, !keys.includes('plan')],
      ['negative', -value - 1, false],
      ['a fraction', value + 0.5, false],
      ['text', 'x', true],
      ['null', null, true],
      absent,
    ];
  }
  if (typeof value === 'string') {
    return [
      ['a number', 7, true],
      ['null', null, !nullable],
      ['too long', 'x'.repeat(20_000), true],
      ['empty', '', false],
      ['a path', '../../../etc/passwd', false],
      ['a list', [value], true],
      absent,
    ];
  }
  if (typeof value === 'boolean') return [['text', 'yes', true], ['a number', 1, true], absent];
  if (value === null) return [['a number', 7, true], ['a list', [], true], absent];
  if (isList(value)) {
    return [
      ['an object', {}, true],
      ['null', null, true],
      ['a record of nothing', [...value, {}], true],
      absent,
    ];
  }
  return [
    ['a list', [], true],
    ['one field too many', { ...value, extra: 1 }, true],
    ['a prototype', withPrototype(value), true],
    absent,
  ];
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}

/** Changes one field of a JSON value: any field, in any way that suits it. */
export function jsonChanged(random: Random, root: object): JsonChange {
  const place = random.pick(placesOf(root as Json));
  const [change, value, mustRefuse] = random.pick(changesOf(place));
  const copy = structuredClone(root) as Record<string | number, unknown>;
  const parent = place.keys
    .slice(0, -1)
    .reduce((node, key) => node[key] as Record<string | number, unknown>, copy);
  if (value !== drop) parent[place.key] = value;
  else if (Array.isArray(parent)) parent.splice(place.key as number, 1);
  else Reflect.deleteProperty(parent, place.key);
  return { field: place.path, change, mustRefuse, value: copy };
}

/** Every field of a value, by path. */
function placesOf(root: Json): Place[] {
  const places: Place[] = [];
  const visit = (node: Json, path: string, keys: readonly (string | number)[]): void => {
    if (typeof node !== 'object' || node === null) return;
    const entries: [string | number, Json][] = isList(node) ? [...node.entries()] : Object.entries(node);
    for (const [key, value] of entries) {
      const at = typeof key === 'number' ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`;
      places.push({ path: at, key, keys: [...keys, key], value });
      visit(value, at, [...keys, key]);
    }
  };
  visit(root, '', []);
  return places;
}

function withPrototype(value: object): object {
  return Object.defineProperty({ ...value }, '__proto__', { value: { admin: true }, enumerable: true });
}

/** JSON text that also says what JSON cannot: NaN as the word, infinity as a number too large. */
export function toJsonText(value: unknown): string {
  const marked = JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'number' && !Number.isFinite(inner)
      ? Number.isNaN(inner)
        ? '<<NaN>>'
        : '<<1e999>>'
      : inner,
  );
  return marked.replace(/"<<(NaN|1e999)>>"/g, '$1');
}

/** The path of the first difference between two JSON values, or null. */
export function difference(left: unknown, right: unknown, path = ''): string | null {
  if (Object.is(left, right)) return null;
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null)
    return path || 'all';
  const keys = new Set([...Object.keys(left), ...Object.keys(right)]);
  for (const key of keys) {
    const inner = difference(
      (left as Record<string, unknown>)[key],
      (right as Record<string, unknown>)[key],
      Array.isArray(left) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`,
    );
    if (inner !== null) return inner;
  }
  return null;
}

/** Why an accepted value is right: it reads as the sound one does, or one field has another value that is allowed. */
export function explain(sound: unknown, found: unknown): string {
  return difference(sound, found) === null ? 'reads the same' : 'another allowed value';
}
