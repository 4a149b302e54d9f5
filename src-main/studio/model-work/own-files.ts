import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { z } from 'zod';
import { catalogueFileSchema } from '../../core/contract/api/model-catalogue.ts';
import { pathSchema } from '../../core/contract/api/common.ts';
import { idSchema } from '../../core/contract/project.ts';
import { lockFile } from '../../library/instance-lock.ts';
import type { RemoteFile } from '../downloads/address.ts';
import { StateFile } from '../state-file.ts';

const downloadedSchema = z.strictObject({
  repository: catalogueFileSchema.shape.repository,
  path: catalogueFileSchema.shape.path,
  /** Where it lies on this machine. */
  place: pathSchema,
  bytes: z.int().min(0),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
export type OwnFile = z.infer<typeof downloadedSchema>;

/** What the application itself put on the disk for models: only this may it delete. */
const ownSchema = z.strictObject({
  version: z.literal(1),
  downloads: z.array(downloadedSchema).max(10_000),
  /** Folders that hold a manifest and whatever was converted or baked. */
  packages: z.array(z.strictObject({ id: idSchema, folder: pathSchema })).max(10_000),
});
type Own = z.infer<typeof ownSchema>;

const nothing: Own = { version: 1, downloads: [], packages: [] };

/** One change after the other, whichever part of the process makes them. */
let changing: Promise<unknown> = Promise.resolve();

/** The files and folders of models that the application made or downloaded. */
export class OwnFiles {
  readonly #dataFolder: string;
  readonly #path: string;

  constructor(dataFolder: string) {
    this.#dataFolder = dataFolder;
    this.#path = join(dataFolder, 'model-files.json');
  }

  /** Read anew each time: the command line may have changed it. @throws PusaError LIBRARY_DAMAGED */
  read(): Promise<Own> {
    return StateFile.read(this.#path, ownSchema, nothing);
  }

  /** A downloaded file that is still there in its size, or null. */
  async find({ repository, path }: RemoteFile): Promise<OwnFile | null> {
    for (const own of (await this.read()).downloads) {
      if (own.repository !== repository || own.path !== path) continue;
      const found = await stat(own.place).catch(() => null);
      if (found?.isFile() === true && found.size === own.bytes) return own;
    }
    return null;
  }

  noteDownload(file: OwnFile): Promise<void> {
    return this.#change((own) => ({
      ...own,
      downloads: [...own.downloads.filter(({ place }) => place !== file.place), file],
    }));
  }

  notePackage(id: string, folder: string): Promise<void> {
    return this.#change((own) => ({
      ...own,
      packages: [...own.packages.filter((one) => one.folder !== folder), { id, folder }],
    }));
  }

  /** Files and package folders that are not there any more. */
  forget(places: ReadonlySet<string>): Promise<void> {
    return this.#change((own) => ({
      ...own,
      downloads: own.downloads.filter(({ place }) => !places.has(place)),
      packages: own.packages.filter(({ folder }) => !places.has(folder)),
    }));
  }

  #change(make: (own: Own) => Own): Promise<void> {
    const done = changing.then(async () => {
      await mkdir(this.#dataFolder, { recursive: true });
      const release = await this.#lock();
      try {
        await (await StateFile.open(this.#path, ownSchema, nothing)).change(make);
      } finally {
        release();
      }
    });
    changing = done.catch(() => undefined);
    return done;
  }

  /** The window and the command line may both be at work: one of them at a time reads and writes. */
  async #lock(): Promise<() => void> {
    for (;;) {
      const release = lockFile(`${this.#path}.lock`);
      if (release !== null) return release;
      await setTimeout(10);
    }
  }
}
