import { z } from 'zod';
import { api, type MethodName } from '../../src-main/core/contract/api.ts';

/** The parts of JSON Schema that the contract's inputs come to. */
interface Shape {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Shape[];
  readonly oneOf?: readonly Shape[];
  readonly allOf?: readonly Shape[];
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly items?: Shape;
  readonly minItems?: number;
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly multipleOf?: number;
  readonly format?: string;
  readonly pattern?: string;
}

/** Where an input has a text that names a record or a file, as keys from its root. */
export interface NamePlace {
  readonly method: MethodName;
  readonly path: readonly string[];
}

export const methodNames = Object.keys(api.methods) as MethodName[];

const shapes = new Map<MethodName, Shape>(
  methodNames.map((method) => [
    method,
    z.toJSONSchema(api.methods[method].input, { unrepresentable: 'any', io: 'input' }) as Shape,
  ]),
);

/** An input that the contract lets pass, as plain as can be, with all that is optional. */
export function sampleInput(method: MethodName): Record<string, unknown> {
  return sample(shapes.get(method)!) as Record<string, unknown>;
}

/** Every text of every input that is an id, a name or a path. */
export function namePlaces(): NamePlace[] {
  return methodNames.flatMap((method) =>
    texts(shapes.get(method)!, []).map((path): NamePlace => ({ method, path })),
  );
}

/** A copy of a value with another one at a place in it. */
export function withAt(value: unknown, path: readonly string[], put: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return put;
  if (Array.isArray(value))
    return value.map((item: unknown, i) => (String(i) === key ? withAt(item, rest, put) : item));
  const object = value as Record<string, unknown>;
  return { ...object, [key]: withAt(object[key], rest, put) };
}

function sample(shape: Shape): unknown {
  if ('const' in shape) return shape.const;
  if (shape.enum !== undefined) return shape.enum[0];
  const choice = shape.anyOf?.[0] ?? shape.oneOf?.[0] ?? shape.allOf?.[0];
  if (choice !== undefined) return sample(choice);
  switch (shape.type) {
    case 'object':
      return Object.fromEntries(
        Object.entries(shape.properties ?? {}).map(([key, property]) => [key, sample(property)]),
      );
    case 'array':
      return Array.from({ length: shape.minItems ?? 1 }, () => sample(shape.items ?? {}));
    case 'string':
      return shape.format === 'date-time'
        ? '2026-01-02T03:04:05Z'
        : shape.pattern?.includes('64') === true
          ? 'sample'
          : 'a';
    case 'integer':
    case 'number':
      return Math.max(
        shape.minimum ?? 0,
        shape.exclusiveMinimum === undefined ? 0 : shape.exclusiveMinimum + 0.5,
        shape.multipleOf ?? 0,
      );
    case 'boolean':
      return false;
    default:
      return null;
  }
}

function texts(shape: Shape, path: readonly string[]): (readonly string[])[] {
  const choice = shape.anyOf?.[0] ?? shape.oneOf?.[0] ?? shape.allOf?.[0];
  if (choice !== undefined) return texts(choice, path);
  if (shape.type === 'object') {
    return Object.entries(shape.properties ?? {}).flatMap(([key, property]) =>
      texts(property, [...path, key]),
    );
  }
  if (shape.type === 'array') return texts(shape.items ?? {}, [...path, '0']);
  const key = path.findLast((part) => part !== '0') ?? '';
  const isName = /ids?$|path$|^name$|^before$|^gesture$|^task$|^cursor$/i.test(key);
  return shape.type === 'string' && shape.enum === undefined && !('const' in shape) && isName ? [path] : [];
}
