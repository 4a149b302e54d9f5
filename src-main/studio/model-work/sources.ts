import { chmod, open } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { sourcesSchema, type ModelSources } from '../../core/contract/api/model-work.ts';
import { PusaError } from '../../core/errors.ts';
import { huggingFace, parseMirror, type ModelServer } from '../downloads/address.ts';
import { StateFile } from '../state-file.ts';

const storedSchema = z.strictObject({
  version: z.literal(1),
  mirror: sourcesSchema.shape.mirror,
  folder: sourcesSchema.shape.folder,
  lookIn: sourcesSchema.shape.lookIn,
  /** With the server it was entered for: no other is ever shown it. */
  token: z.strictObject({ text: z.string().min(1).max(500), server: z.string().max(500) }).nullable(),
});
type Stored = z.infer<typeof storedSchema>;

const initial: Stored = { version: 1, mirror: null, folder: null, lookIn: [], token: null };

export interface SourcesChange {
  readonly mirror?: string | null | undefined;
  readonly token?: string | null | undefined;
  readonly folder?: string | null | undefined;
  readonly lookIn?: readonly string[] | undefined;
}

/** Where models come from and go to, as a person set it. */
export class Sources {
  readonly #file: StateFile<Stored>;
  readonly #path: string;

  private constructor(file: StateFile<Stored>, path: string) {
    this.#file = file;
    this.#path = path;
  }

  /** @param onDamage told of a file that cannot be understood; without it such a file is an error */
  static async open(dataFolder: string, onDamage?: (reason: PusaError) => void): Promise<Sources> {
    const path = join(dataFolder, 'model-sources.json');
    return new Sources(await StateFile.open(path, storedSchema, initial, onDamage), path);
  }

  /** Without the token. */
  get shown(): ModelSources {
    const { mirror, folder, lookIn } = this.#file.value;
    return { mirror, hasToken: this.server.token !== null, folder, lookIn };
  }

  /** The server to ask, with the token that was entered for it. */
  get server(): ModelServer {
    const { mirror, token } = this.#file.value;
    const base = mirror ?? huggingFace;
    return { base, token: token !== null && token.server === base ? token.text : null };
  }

  /** @throws PusaError DOWNLOAD_REFUSED of a mirror's address, FILE_NOT_FOUND of a folder without its drive or root */
  async change(change: SourcesChange): Promise<ModelSources> {
    const { mirror, token, folder, lookIn } = change;
    const address = typeof mirror === 'string' ? parseMirror(mirror) : mirror;
    for (const path of [folder, ...(lookIn ?? [])]) {
      if (typeof path !== 'string' || isAbsolute(path)) continue;
      throw new PusaError(
        'FILE_NOT_FOUND',
        `"${path}" is not a whole path.`,
        'Choose the folder in the dialog.',
      );
    }
    if (token !== undefined && token !== null && !/^[\x21-\x7e]+$/.test(token)) {
      throw new PusaError(
        'DOWNLOAD_REFUSED',
        'This is no access token: it has spaces or letters that tokens do not have.',
        'Copy it once more from the page of your account.',
      );
    }
    // What holds a token is nobody else's to read, from its first byte on.
    const draft = await open(`${this.#path}.tmp`, 'w', 0o600);
    await draft.close();
    await this.#file.change((before) => {
      const after: Stored = {
        ...before,
        ...(address === undefined ? {} : { mirror: address }),
        ...(folder === undefined ? {} : { folder }),
        ...(lookIn === undefined ? {} : { lookIn: [...new Set(lookIn)] }),
      };
      if (token === undefined) return after;
      return {
        ...after,
        token: token === null ? null : { text: token, server: after.mirror ?? huggingFace },
      };
    });
    await chmod(this.#path, 0o600);
    return this.shown;
  }
}
