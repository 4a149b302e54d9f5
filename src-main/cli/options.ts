import { InvalidArgumentError } from 'commander';
import { idSchema } from '../core/contract/project.ts';

/** Parsers of option values: what they throw is shown beside the option's name. */

/** A whole number within bounds. */
export function whole(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

/** A number within bounds. */
export function number(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value) || value < min || value > max) {
      throw new InvalidArgumentError(`It must be a number from ${min} to ${max}.`);
    }
    return value;
  };
}

/** `832x480`: multiples of 16. */
export function size(text: string): { width: number; height: number } {
  const match = /^(\d{2,4})[x×](\d{2,4})$/.exec(text);
  const width = Number(match?.[1]);
  const height = Number(match?.[2]);
  const isSide = (side: number): boolean => side >= 16 && side <= 4096 && side % 16 === 0;
  if (!isSide(width) || !isSide(height)) {
    throw new InvalidArgumentError(
      'It must be WIDTHxHEIGHT, both multiples of 16 from 16 to 4096, such as 832x480.',
    );
  }
  return { width, height };
}

/** The number of frames of a range: 4n+1. */
export function rangeLength(text: string): number {
  const value = whole(1, 4001)(text);
  if (value % 4 !== 1) {
    const lower = Math.max(1, Math.floor((value - 1) / 4) * 4 + 1);
    throw new InvalidArgumentError(`It must be 4n+1; the nearest are ${lower} and ${lower + 4}.`);
  }
  return value;
}

/** `40=door.png`, repeatable. */
export function keyframe(
  text: string,
  earlier: readonly { frame: number; path: string }[],
): readonly { frame: number; path: string }[] {
  const match = /^(\d{1,4})=(.+)$/s.exec(text);
  if (match === null) throw new InvalidArgumentError('It must be FRAME=FILE, such as 40=door.png.');
  return [...earlier, { frame: Number(match[1]), path: match[2] ?? '' }];
}

/** One of a list of words. */
export function oneOf<T extends string>(words: readonly T[]): (text: string) => T {
  return (text) => {
    const word = words.find((candidate) => candidate === text);
    if (word === undefined) throw new InvalidArgumentError(`It must be one of: ${words.join(', ')}.`);
    return word;
  };
}

/** An id for a new model. */
export function newId(text: string): string {
  if (idSchema.safeParse(text).success) return text;
  throw new InvalidArgumentError('It must be letters, digits, "-" and "_", at most 64.');
}
