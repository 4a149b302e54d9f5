import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { catalogueEntrySchema, catalogueFileSchema } from '../../core/contract/api/model-catalogue.ts';
import { loraChoiceSchema } from '../../core/contract/api/model-work.ts';
import { idSchema } from '../../core/contract/project.ts';
import { PusaError } from '../../core/errors.ts';
import type { Places } from '../places.ts';
import type { WantedFile } from './download-file.ts';

const licenceSchema = catalogueEntrySchema.shape.licences.element.omit({ of: true });
/** Inside the repository: forward slashes, no way out. */
const innerPath = catalogueFileSchema.shape.path.refine(
  (path) => !/[\\\0:]/.test(path) && path.split('/').every((part) => !['', '.', '..'].includes(part)),
);

/** Files that belong together, shared by entries. */
const partSchema = z.strictObject({
  id: idSchema,
  name: z.string().min(1).max(200),
  licence: licenceSchema,
  /** Bytes of all its files as far as known, where not all are known exactly. */
  about: z.int().min(1).nullable(),
  /** Bytes that are written once more because graphs cannot use these files where they lie; 0 where left out. */
  converted: z.int().min(0).default(0),
  files: z
    .array(
      z.strictObject({
        repository: catalogueFileSchema.shape.repository,
        path: innerPath,
        bytes: z.int().min(1).nullable(),
        sha256: catalogueFileSchema.shape.sha256,
      }),
    )
    .min(1)
    .max(100),
});

const entrySchema = z.strictObject({
  id: idSchema,
  name: catalogueEntrySchema.shape.name,
  purpose: catalogueEntrySchema.shape.purpose,
  parts: z.array(idSchema).min(1).max(16),
  /** Of its LoRAs, by their path in the repository. */
  loras: z.array(loraChoiceSchema).max(16),
});

const dataSchema = z
  .strictObject({
    version: z.literal(1),
    parts: z.array(partSchema).max(200),
    entries: z.array(entrySchema).max(200),
  })
  .superRefine(({ parts, entries }, context) => {
    const ids = new Set(parts.map(({ id }) => id));
    for (const { id, parts: named, loras } of entries) {
      const files = new Set(
        parts.filter((part) => named.includes(part.id)).flatMap((part) => part.files.map(({ path }) => path)),
      );
      if (named.some((name) => !ids.has(name)) || loras.some(({ path }) => !files.has(path))) {
        context.addIssue({ code: 'custom', message: `The entry ${id} names what is not there.` });
      }
    }
  });

type Part = z.infer<typeof partSchema>;

/** A model that can be downloaded. */
export interface KnownModel {
  readonly id: string;
  readonly name: string;
  readonly purpose: string;
  readonly parts: readonly Part[];
  readonly files: readonly WantedFile[];
  readonly loras: z.infer<typeof entrySchema>['loras'];
}

/**
 * The models the application knows: a file that came with it, or the one a person names instead.
 * @throws PusaError FILE_UNREADABLE naming what is wrong
 */
export async function readCatalogue(
  { resources }: Pick<Places, 'resources'>,
  path: string = join(resources, 'catalogue', 'models.json'),
): Promise<KnownModel[]> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw unreadable(path, 'it is not there or no JSON', cause);
  }
  const data = dataSchema.safeParse(value);
  if (!data.success) {
    const issue = data.error.issues[0]!;
    throw unreadable(path, `${issue.message} at "${issue.path.join('.')}"`, data.error);
  }
  const parts = new Map(data.data.parts.map((part) => [part.id, part]));
  return data.data.entries.map((entry) => {
    const own = entry.parts.map((id) => parts.get(id)!);
    return { ...entry, parts: own, files: own.flatMap(({ files }) => files) };
  });
}

/** @throws PusaError MODEL_NOT_FOUND naming those there are */
export function entryNamed(catalogue: readonly KnownModel[], id: string): KnownModel {
  const found = catalogue.find((entry) => entry.id === id);
  if (found !== undefined) return found;
  throw new PusaError(
    'MODEL_NOT_FOUND',
    `The catalogue has no model "${id}".`,
    `It has: ${catalogue.map((entry) => entry.id).join(', ')}.`,
  );
}

/** Bytes that are written beside the downloaded ones before an entry can be used. */
export function convertedBytesOf({ parts }: Pick<KnownModel, 'parts'>): number {
  return parts.reduce((sum, { converted }) => sum + converted, 0);
}

function unreadable(path: string, what: string, cause: unknown): PusaError {
  return new PusaError(
    'FILE_UNREADABLE',
    `The catalogue of models "${path}" cannot be read: ${what}.`,
    'Install Pusa Studio again.',
    { cause },
  );
}

/**
 * Bytes of some parts' files.
 * @param bytesOf what is known of a file otherwise; null where nothing is
 */
export function bytesOfParts(
  parts: readonly Part[],
  bytesOf: (file: WantedFile) => number | null,
): { bytes: number; exact: boolean } {
  let bytes = 0;
  let exact = true;
  for (const part of parts) {
    const sizes = part.files.map((file) => bytesOf(file) ?? file.bytes);
    const known = sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
    const isWhole = sizes.every((size) => size !== null);
    bytes += isWhole ? known : Math.max(known, part.about ?? 0);
    exact &&= isWhole;
  }
  return { bytes, exact };
}
