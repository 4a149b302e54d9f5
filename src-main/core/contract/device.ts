import { z } from 'zod';

/** Execution providers of ONNX Runtime that are used. */
export const providers = ['cpu', 'webgpu', 'dml', 'cuda'] as const;
export type Provider = (typeof providers)[number];

/** A block like the DiT's, timed on a provider. */
export const measurementSchema = z.strictObject({
  provider: z.string(),
  tokens: z.int().min(1),
  width: z.int().min(1),
  /** Of one run, the quickest of several. */
  milliseconds: z.number().min(0),
  /** Billions of floating-point operations a second in the block's matrix products. */
  gflops: z.number().min(0),
});
export type Measurement = z.infer<typeof measurementSchema>;

/** Operator forms a provider's graphs are built with; see the engine's `OperatorForms`. */
export const formsSchema = z.strictObject({
  attention: z.enum(['fused', 'primitive']),
  attentionRows: z.int().min(0),
  convolution: z.enum(['conv3d', 'taps', 'planes']),
});

const providerReportSchema = z.strictObject({
  provider: z.enum(providers),
  works: z.boolean(),
  /** Why it does not work; null where it does. */
  reason: z.string().nullable(),
  /** The operator forms the canary picked; null where it does not work. */
  forms: formsSchema.nullable(),
  /** A block timed, for choosing; null where it does not work. */
  block: measurementSchema.nullable(),
  /** How many times as quick as the processor in the same block; by this they are ranked. */
  speed: z.number().min(0).nullable().optional(),
  /** When it was timed: not at each start, but when something changed or a person asks. */
  measuredAt: z.iso.datetime().nullable().optional(),
  /** What would make it work, in sentences; null where there is nothing to say. */
  help: z.string().max(2000).nullable().optional(),
});

/** What this machine has and what of it runs models. */
export const deviceReportSchema = z.strictObject({
  platform: z.string(),
  arch: z.string(),
  cpu: z.strictObject({ model: z.string(), threads: z.int().min(1) }),
  memory: z.strictObject({ totalBytes: z.number().min(0), availableBytes: z.number().min(0) }),
  gpus: z.array(
    z.strictObject({ vendor: z.string(), model: z.string(), memoryBytes: z.number().min(0).nullable() }),
  ),
  providers: z.array(providerReportSchema),
  /** The provider a render takes when none is asked for: the quickest that works. */
  chosen: z.enum(providers),
  versions: z.record(z.string(), z.string()),
});
export type DeviceReport = z.infer<typeof deviceReportSchema>;

/** By measurement: the quickest first, those without a speed last. */
export function ranked<T extends { readonly speed: number | null }>(trials: readonly T[]): T[] {
  return [...trials].sort((a, b) => (b.speed ?? -1) - (a.speed ?? -1));
}
