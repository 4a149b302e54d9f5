import { z } from 'zod';

/** What long work on models is doing. */
export const workKinds = [
  /** Asking the server for sizes. */
  'ask',
  'download',
  /** After something went wrong with a download; the subject is a sentence in English. */
  'retry',
  /** A file that is there already is read, to prove that it is the one wanted. */
  'reread',
  /** The files of a model are read and hashed. */
  'read',
  'convert',
  'copy',
  /** Weights of another precision are written; the subject is the precision. */
  'write',
  /** The same with the best scales, which are searched. */
  'search',
  /** The same with LoRAs merged. */
  'merge',
  /** The files of a model are read and compared with what is noted of them. */
  'compare',
] as const;
export type WorkKind = (typeof workKinds)[number];

export const workPhaseSchema = z.strictObject({
  kind: z.enum(workKinds),
  /** What it is done to: a file's name, unless the kind says otherwise; empty where there is nothing to say. */
  subject: z.string().max(1000),
});
export type WorkPhase = z.infer<typeof workPhaseSchema>;

export function workPhase(kind: WorkKind, subject = ''): WorkPhase {
  return { kind, subject: subject.slice(0, 1000) };
}
