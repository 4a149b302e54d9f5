/**
 * Tensor dimensions: whole numbers, or polynomials with whole coefficients in named symbols (F, 2·H, F·S + 1).
 * Symbols stand for sizes ≥ 1 that are known only when the graph runs.
 */

/** A polynomial: monomial ('' is the constant, otherwise sorted symbols joined by '*') → coefficient ≠ 0. */
export interface Polynomial {
  readonly terms: ReadonlyMap<string, number>;
  /** Canonical text, also the dimension's name in the graph; equal text means equal dimensions. */
  readonly text: string;
}
export type Dim = number | Polynomial;
export type Shape = readonly Dim[];

/** A named symbolic dimension. */
export function sym(name: string): Polynomial {
  return { terms: new Map([[name, 1]]), text: name };
}

function terms(dim: Dim): ReadonlyMap<string, number> {
  return typeof dim === 'number' ? new Map([['', dim]]) : dim.terms;
}

function fromTerms(all: ReadonlyMap<string, number>): Dim {
  const kept = [...all].filter(([, coefficient]) => coefficient !== 0).sort(([a], [b]) => (a < b ? 1 : -1));
  if (kept.length === 0) return 0;
  if (kept.length === 1 && kept[0]![0] === '') return kept[0]![1];
  const text = kept
    .map(([monomial, coefficient]) => {
      if (monomial === '') return String(coefficient);
      return coefficient === 1 ? monomial : `${coefficient}*${monomial}`;
    })
    .join(' + ');
  return { terms: new Map(kept), text };
}

/** Sum of dimensions. */
export function addDims(...dims: readonly Dim[]): Dim {
  const sum = new Map<string, number>();
  for (const dim of dims) {
    for (const [monomial, coefficient] of terms(dim)) {
      sum.set(monomial, (sum.get(monomial) ?? 0) + coefficient);
    }
  }
  return fromTerms(sum);
}

/** Product of dimensions; 1 for none. */
export function mulDims(...dims: readonly Dim[]): Dim {
  let product: ReadonlyMap<string, number> = new Map([['', 1]]);
  for (const dim of dims) {
    const next = new Map<string, number>();
    for (const [a, ca] of product) {
      for (const [b, cb] of terms(dim)) {
        const monomial = [...a.split('*'), ...b.split('*')]
          .filter((symbol) => symbol !== '')
          .sort()
          .join('*');
        next.set(monomial, (next.get(monomial) ?? 0) + ca * cb);
      }
    }
    product = next;
  }
  return fromTerms(product);
}

/** a − b. */
export function subDims(a: Dim, b: Dim): Dim {
  return addDims(a, mulDims(-1, b));
}

/** ⌊dim / divisor⌋, or null where the symbols leave it open (H / 2 for a bare symbol H). */
export function floorDivDim(dim: Dim, divisor: number): Dim | null {
  const quotient = new Map<string, number>();
  for (const [monomial, coefficient] of terms(dim)) {
    if (monomial !== '' && coefficient % divisor !== 0) return null;
    quotient.set(monomial, Math.floor(coefficient / divisor));
  }
  return fromTerms(quotient);
}

export function sameDim(a: Dim, b: Dim): boolean {
  return dimText(a) === dimText(b);
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, axis) => sameDim(dim, b[axis]!));
}

export function dimText(dim: Dim): string {
  return typeof dim === 'number' ? String(dim) : dim.text;
}

export function shapeText(shape: Shape): string {
  return `[${shape.map(dimText).join(', ')}]`;
}

/** The shape two operands broadcast to under ONNX's (NumPy's) rule, or null if they do not. */
export function broadcastShapes(a: Shape, b: Shape): Shape | null {
  const rank = Math.max(a.length, b.length);
  const result: Dim[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const da = a[axis - rank + a.length] ?? 1;
    const db = b[axis - rank + b.length] ?? 1;
    if (da === 1) result.push(db);
    else if (db === 1 || sameDim(da, db)) result.push(da);
    else return null;
  }
  return result;
}
