import type { Provider } from '../../src-main/engine/runtime/runtime.ts';
import type { Comparison, Tolerance } from './compare.ts';

/** What `case.json` says, as far as the kinds need it. */
export interface GoldenCase {
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
  /** The case's own tolerance, or the wider one of a GPU provider. */
  readonly tolerance: Tolerance;
  /** Other entries of the tolerance, such as `video_u8_atol`. */
  readonly limits: Readonly<Record<string, unknown>>;
}

/** A module under `kinds/`: runs a case of its kind through the code that ships. */
export interface KindModule {
  run(caseDir: string, goldenCase: GoldenCase, provider: Provider): Promise<Comparison[]>;
}

/** Which module runs a case: the first pattern that fits its name. A case that none fits is an error. */
export const kinds: readonly (readonly [name: RegExp, module: string])[] = [
  [/^dit_import_variants$/, 'dit-variants'],
  [/^dit_/, 'dit'],
  [/^vae22_/, 'vae22'],
  [/^vae_/, 'vae'],
  [/^umt5_/, 'umt5'],
  [/^spm_/, 'tokenizer'],
  [/^sched_flow_match$/, 'sched-flow-match'],
  [/^sched_unipc_dpmpp$/, 'sched-solvers'],
  [/^sched_pusa_rollout/, 'sched-rollout'],
  [/^lora_/, 'lora'],
  [/^fafm_/, 'fafm'],
  [/^e2e_/, 'e2e'],
];

/** Kinds that run graphs and are also compared on a GPU provider. */
export const providerKinds: ReadonlySet<string> = new Set(['dit', 'vae', 'vae22', 'e2e']);

/** Cases that do not run yet, by name, with the reason. `case/part` names a part of a case that otherwise runs. */
export const skipped: Readonly<Record<string, string>> = {};

/** Whether a case or a part of one is in the table above. */
export function isSkipped(name: string): boolean {
  return Object.hasOwn(skipped, name);
}

/** The kind of a case, or null when none is known for its name. */
export function kindOf(name: string): string | null {
  return kinds.find(([pattern]) => pattern.test(name))?.[1] ?? null;
}

/** Loads a kind's module; one that is missing or broken fails only the cases of its kind. */
export async function loadKind(kind: string): Promise<KindModule> {
  return (await import(`./kinds/${kind}.ts`)) as KindModule;
}
