import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { createTokenizer } from '../../../src-main/engine/text/tokenizer.ts';
import {
  emptied,
  explain,
  ofAnotherKind,
  scrambled,
  truncated,
  WronglyAccepted,
  type ByteChange,
  type Random,
  type Target,
} from '../mutate.ts';

const path = fileURLToPath(new URL('../../fixtures/goldens/spm_tiny/spiece.model', import.meta.url));
const texts = ['Boats come home while the sun goes down.', '港口的黄昏 🌇', ''];

/** A field of the file (protobuf): where its tag, its length and its value stand. */
interface Field {
  readonly name: string;
  readonly wireType: number;
  readonly at: number;
  readonly value: number;
  readonly end: number;
}

const names: Readonly<Record<string, string>> = { '1': 'piece', '2': 'trainer', '3': 'normaliser' };

/** `spiece.model`: what the tokenizer is made of. */
export const tokenizers: Target = {
  name: 'spiece.model',
  share: 2,
  async prepare() {
    const sound = await readFile(path);
    const fields = fieldsOf(sound, 0, sound.length, '');
    const pieces = fields.filter((field) => field.name.startsWith('piece'));
    const settings = fields.filter((field) => !field.name.startsWith('piece'));
    const read = (bytes: Uint8Array): unknown => {
      const tokenizer = createTokenizer(bytes);
      return texts.map((text) => {
        const { ids, valid } = tokenizer.encode(text, 64);
        if (ids.length !== 64 || valid < 1 || valid > 64 || ids.some((id) => id < 0))
          throw new WronglyAccepted('its ids are impossible');
        return [...ids];
      });
    };
    const expected = read(sound);
    const mutant = ({ bytes, ...change }: ByteChange) => ({
      ...change,
      feed: () => Promise.resolve(explain(expected, read(bytes))),
    });
    const byField = (random: Random): ByteChange =>
      fieldChanged(random, sound, random.pick(random.int(2) === 0 ? settings : pieces));
    const ways: readonly ((random: Random) => ByteChange)[] = [
      byField,
      (random) => truncated(random, sound),
      byField,
      (random) => scrambled(random, sound, { name: 'anywhere', at: 0, length: sound.length }),
      byField,
      (random) => (random.int(3) === 0 ? emptied() : ofAnotherKind(random)),
    ];
    return {
      sound: mutant({ field: 'nothing', change: 'none', mustRefuse: false, bytes: sound }),
      draw: (random, index) => Promise.resolve(mutant(ways[index % ways.length]!(random))),
    };
  },
};

function fieldChanged(random: Random, sound: Buffer, { name, wireType, at, value, end }: Field): ByteChange {
  const bytes = Buffer.from(sound);
  const change = (what: string, mustRefuse = false, changed: Uint8Array = bytes): ByteChange => ({
    field: name,
    change: what,
    mustRefuse,
    bytes: changed,
  });
  const without = Buffer.concat([sound.subarray(0, at), sound.subarray(end)]);
  switch (random.int(wireType === 2 ? 4 : 3)) {
    case 0:
      bytes[at] = (bytes[at]! & 0xf8) | random.pick([3, 4, 6, 7]);
      return change('a wire type that does not exist or opens a group');
    case 1:
      return change('left out', false, name.includes('.') ? sound.subarray(0, end - 1) : without);
    case 2:
      if (wireType === 5) {
        bytes.writeFloatLE(random.pick([Number.NaN, Number.POSITIVE_INFINITY, -1e38]), value);
        return change('a score of another kind');
      }
      bytes.fill(wireType === 2 ? 0xff : 0x7f, value, end);
      return change(wireType === 2 ? 'bytes that are no text' : 'another number');
    default:
      // The length is the varint just before the value.
      bytes[value - 1] = random.pick([0, 0x7f, 0xff]);
      return change('another length');
  }
}

/** The fields of a message and, one level down, of the messages in it. */
function fieldsOf(bytes: Buffer, from: number, to: number, parent: string): Field[] {
  const fields: Field[] = [];
  for (let at = from; at < to;) {
    const [tag, afterTag] = varint(bytes, at);
    const number = String(tag >>> 3);
    const name =
      parent === '' ? `${names[number] ?? `field ${number}`} ${fields.length}` : `${parent}.${number}`;
    const wireType = tag & 7;
    let value = afterTag;
    let end = wireType === 5 ? afterTag + 4 : wireType === 1 ? afterTag + 8 : varint(bytes, afterTag)[1];
    if (wireType === 2) {
      const [length, start] = varint(bytes, afterTag);
      value = start;
      end = start + length;
    }
    fields.push({ name, wireType, at, value, end });
    at = end;
  }
  if (parent !== '') return fields;
  return fields.flatMap((field) =>
    field.wireType === 2 ? [field, ...fieldsOf(bytes, field.value, field.end, field.name)] : [field],
  );
}

function varint(bytes: Buffer, at: number): [value: number, next: number] {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++]!;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return [value >>> 0, at];
  }
}
