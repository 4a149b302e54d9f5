import { invalid, type Checkpoint, type TensorEntry } from './checkpoint.ts';

/** What is written beside a scaled 8-bit weight and is no weight itself (spec §1.2). */
const companions = /(^|\.)(scale_weight|scale_input|weight_scale|input_scale|comfy_quant|scaled_fp8)$/;
const most = 1 << 24;

/**
 * A view of a checkpoint whose 8-bit floats are read with the scale that stands beside them: W = float(fp8) · scale, a
 * single number or one for each row (spec §1.2). The scales themselves are not shown. Without any, it is the same
 * checkpoint. The view shares its files: close either of the two.
 */
export function withScales(checkpoint: Checkpoint): Checkpoint {
  const scales = new Map<string, string>();
  const entries = new Map<string, TensorEntry>();
  for (const [name, entry] of checkpoint.entries) {
    if (companions.test(name)) continue;
    entries.set(name, entry);
    if (!entry.dtype.startsWith('F8_') || !name.endsWith('.weight')) continue;
    const layer = name.slice(0, -'.weight'.length);
    const scale = [`${layer}.scale_weight`, `${layer}.weight_scale`].find((key) =>
      checkpoint.entries.has(key),
    );
    if (scale !== undefined) scales.set(name, scale);
  }
  if (entries.size === checkpoint.entries.size) return checkpoint;
  return {
    ...checkpoint,
    entries,
    async read(name, span) {
      const values = await checkpoint.read(name, span);
      const scale = scales.get(name);
      if (scale === undefined) return values;
      const { shape, bytes } = checkpoint.entries.get(scale)!;
      const scaled = entries.get(name)!.shape;
      const rows = scaled[0] ?? 1;
      const count = product(shape);
      if (bytes > most || (count !== 1 && count !== rows)) {
        throw invalid(
          checkpoint.path,
          `"${scale}" has the shape [${shape.join(', ')}], which fits no weight`,
        );
      }
      const factors = await checkpoint.read(scale);
      const width = product(scaled) / count;
      const first = span?.first ?? 0;
      for (let i = 0; i < values.length;) {
        const row = Math.floor((first + i) / width);
        const end = Math.min(values.length, (row + 1) * width - first);
        for (const factor = factors[row]!; i < end; i++) values[i]! *= factor;
      }
      return values;
    },
    readBytes: (name) => checkpoint.readBytes(name),
    close: () => checkpoint.close(),
  };
}

function product(shape: readonly number[]): number {
  return shape.reduce((all, side) => all * side, 1);
}
