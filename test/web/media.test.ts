import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import sharp from 'sharp';
import type { Api } from '../../src-main/core/contract/api.ts';
import type { ChannelClient } from '../../src-main/core/contract/channel.ts';
import type { AssetRecord } from '../../src-main/core/contract/records.ts';
import { root } from '../support/places.ts';
import { clientOver, dialIn, send, type Answer } from './door.ts';
import { leaks, serve, type Served } from './served.ts';

const clip = join(root, 'resources/samples/media/blue-cube.mp4');
const picture = join(root, 'resources/samples/media/blue-star-right.png');

describe('media of the served application', () => {
  let served: Served;
  let client: ChannelClient<Api>;
  let video: AssetRecord;
  let image: AssetRecord;

  const get = (path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> =>
    send(served.base, path, { cookie: served.cookie, ...headers }, method);

  beforeAll(async () => {
    served = await serve();
    client = clientOver(await dialIn(served.base, served.cookie));
    video = (await client.api.assets.upload({ name: 'cube.mp4' }, { upload: createReadStream(clip) })).asset;
    image = (await client.api.assets.import({ path: picture })).asset;
  });

  afterAll(async () => {
    client.close();
    await served.stop();
  });

  it('are sent whole, in the asked part, and not at all where they are known', async () => {
    const bytes = (await readFile(clip)).toString('latin1');
    const address = `/media/asset/${video.id}`;
    const etag = `"${video.hash}"`;
    const whole = await get(address);
    expect(whole.body === bytes).toBe(true);
    expect(whole.headers).toMatchObject({
      'content-type': 'video/mp4',
      'content-length': String(bytes.length),
      'accept-ranges': 'bytes',
      'cache-control': 'private, no-cache',
      'x-content-type-options': 'nosniff',
      'cross-origin-resource-policy': 'same-origin',
      etag,
    });
    const cases: [Record<string, string>, number, string][] = [
      [{ range: 'bytes=4-7' }, 206, 'ftyp'],
      [{ range: 'bytes=-3' }, 206, bytes.slice(-3)],
      [{ range: `bytes=${bytes.length - 2}-` }, 206, bytes.slice(-2)],
      [{ range: 'bytes=4-7', 'if-range': etag }, 206, 'ftyp'],
      [{ range: 'bytes=4-7', 'if-range': '"other"' }, 200, bytes],
      [{ range: `bytes=${bytes.length}-` }, 416, ''],
      [{ 'if-none-match': `"x", ${etag}` }, 304, ''],
    ];
    for (const [headers, status, body] of cases) {
      const answer = await get(address, headers);
      expect([answer.status, answer.body === body], JSON.stringify(headers)).toEqual([status, true]);
    }
    const head = await get(address, {}, 'HEAD');
    expect([head.status, head.headers['content-length'], head.body]).toEqual([200, String(bytes.length), '']);
  });

  it('may be kept for ever where the address names the bytes', async () => {
    const forEver = 'private, max-age=31536000, immutable';
    expect((await get(`/media/asset/${video.id}?v=${video.hash}`)).headers['cache-control']).toBe(forEver);
    expect((await get(`/media/asset/${video.id}?v=${image.hash}`)).headers['cache-control']).not.toBe(
      forEver,
    );
  });

  it('have thumbnails and filmstrips of the asked size', async () => {
    const sizeOf = async ({ body }: Answer): Promise<[number, number]> => {
      const { width, height } = await sharp(Buffer.from(body, 'latin1')).metadata();
      return [width, height];
    };
    const small = await get(`/media/asset/${image.id}/thumbnail?size=64`);
    expect(small.headers['content-type']).toMatch(/^image\/(webp|jpeg|png)$/);
    expect(Math.max(...(await sizeOf(small)))).toBe(64);
    const still = await get(`/media/asset/${video.id}/thumbnail?size=48&at=0.5`);
    expect(Math.max(...(await sizeOf(still)))).toBe(48);
    const strip = await get(`/media/asset/${video.id}/filmstrip?from=0&to=0.5&frames=4&height=32`);
    const [width, height] = await sizeOf(strip);
    expect(height).toBe(32);
    expect(width).toBeGreaterThan(3 * height);
    const etag = String(strip.headers['etag']);
    const again = await get(`/media/asset/${video.id}/filmstrip?from=0&to=0.5&frames=4&height=32`, {
      'if-none-match': etag,
    });
    expect(again.status).toBe(304);
    for (const wrong of [
      'frames=0',
      'height=1',
      'to=-1',
      'frames=65',
      'frames=1.5',
      'other=1',
      'assetId=3',
    ]) {
      expect((await get(`/media/asset/${video.id}/filmstrip?${wrong}`)).status, wrong).toBe(400);
    }
  });

  it('that are not there are said to be missing, with a code', async () => {
    for (const path of ['/media/asset/none', '/media/take/none', '/media/take/none/thumbnail']) {
      const answer = await get(path);
      expect(answer.status, path).toBe(404);
      expect(JSON.parse(answer.body)).toMatchObject({ code: 'RECORD_NOT_FOUND' });
    }
    for (const path of ['/media', '/media/', '/media/project/x', `/media/asset/${video.id}/other`]) {
      expect((await get(path)).status, path).toBe(404);
    }
  });

  it('are nothing but media, whatever path a window names', async () => {
    for (const path of [
      '/etc/passwd',
      '/etc/shadow',
      '/proc/self/environ',
      '/dev/zero',
      served.data,
      '.',
      '../..',
    ]) {
      const asked = client.api.assets.import({ path });
      const error: unknown = await asked.catch((thrown: unknown) => thrown);
      expect(error, path).toBeInstanceOf(Error);
      expect(leaks((error as Error).message.replaceAll(served.data, ''), served), path).toEqual([]);
    }
  });
});
