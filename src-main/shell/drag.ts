import { nativeImage, type WebContents } from 'electron';
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import sharp from 'sharp';
import type { Api } from '../core/contract/api.ts';
import type { ChannelClient } from '../core/contract/channel.ts';

/** Takes as files that another application can be given: the library's own have no names a person knows. */
export class TakeDrags {
  private readonly client: ChannelClient<Api>;
  private readonly parent: string;
  /** A folder of our own, made when it is needed. */
  private folder: Promise<string> | null = null;
  /** By take; each is written once. */
  private readonly files = new Map<string, Promise<string>>();

  /** @param parent folder for files that do not last */
  constructor(client: ChannelClient<Api>, parent: string) {
    this.client = client;
    this.parent = parent;
  }

  /** @throws PusaError of the studio, or of the disk */
  async start(contents: WebContents, takeId: string): Promise<void> {
    const [file, icon] = await Promise.all([this.file(takeId), this.icon(takeId)]);
    if (!contents.isDestroyed()) contents.startDrag({ file, icon: nativeImage.createFromBuffer(icon) });
  }

  /** Removes what was written. */
  async clear(): Promise<void> {
    if (this.folder !== null) await rm(await this.folder, { recursive: true, force: true });
  }

  private file(takeId: string): Promise<string> {
    const known = this.files.get(takeId);
    if (known !== undefined) return known;
    const file = this.write(takeId);
    this.files.set(takeId, file);
    file.catch(() => this.files.delete(takeId));
    return file;
  }

  private async write(takeId: string): Promise<string> {
    // Another person of this machine cannot have made it before us.
    this.folder ??= mkdtemp(join(this.parent, 'pusa-studio-'));
    const path = join(await this.folder, `take-${takeId}.mp4`);
    const { body } = await this.client.api.takes.read({ takeId });
    await pipeline(Readable.from(body), createWriteStream(path));
    return path;
  }

  private async icon(takeId: string): Promise<Buffer> {
    const { body } = await this.client.api.takes.thumbnail({ takeId, size: 128 });
    const pieces: Uint8Array[] = [];
    for await (const piece of body) pieces.push(piece);
    return sharp(Buffer.concat(pieces)).png().toBuffer();
  }
}
