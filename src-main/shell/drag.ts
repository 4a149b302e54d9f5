import { nativeImage, type WebContents } from 'electron';
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import sharp from 'sharp';
import type { Api } from '../core/contract/api.ts';
import type { ChannelClient } from '../core/contract/channel.ts';

/** Takes as files that another application can be given: the library's own have no names a person knows. */
export class TakeDrags {
  private readonly client: ChannelClient<Api>;
  private readonly folder: string;

  /** @param folder emptied by {@link clear}; made when needed */
  constructor(client: ChannelClient<Api>, folder: string) {
    this.client = client;
    this.folder = folder;
  }

  /** @throws PusaError of the studio, or of the disk */
  async start(contents: WebContents, takeId: string): Promise<void> {
    const [file, icon] = await Promise.all([this.file(takeId), this.icon(takeId)]);
    if (!contents.isDestroyed()) contents.startDrag({ file, icon: nativeImage.createFromBuffer(icon) });
  }

  async clear(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  private async file(takeId: string): Promise<string> {
    const path = join(this.folder, `take-${takeId}.mp4`);
    if ((await stat(path).catch(() => null)) !== null) return path;
    await mkdir(this.folder, { recursive: true });
    const { body } = await this.client.api.takes.read({ takeId });
    await pipeline(Readable.from(body), createWriteStream(`${path}.part`));
    await rename(`${path}.part`, path);
    return path;
  }

  private async icon(takeId: string): Promise<Buffer> {
    const { body } = await this.client.api.takes.thumbnail({ takeId, size: 128 });
    const pieces: Uint8Array[] = [];
    for await (const piece of body) pieces.push(piece);
    return sharp(Buffer.concat(pieces)).png().toBuffer();
  }
}
