import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseMirror } from '../../src-main/studio/downloads/address.ts';
import { downloadFile, type WantedFile } from '../../src-main/studio/downloads/download-file.ts';
import { downloadSet, placeOf } from '../../src-main/studio/downloads/download-set.ts';
import { partBytesOf } from '../../src-main/studio/downloads/part-file.ts';
import { retryAfter, type Patience } from '../../src-main/studio/downloads/request.ts';
import { requireSpace } from '../../src-main/studio/downloads/space.ts';
import { failure } from '../core/small-studio.ts';
import { sampleBytes } from '../support/project.ts';
import { answer, dropAfter, etagOf, serveModels, type ModelServerStub } from './model-server.ts';

const repository = 'maker/model';
const quick: Patience = { stallMs: 2000, retryMs: [5, 5, 5, 5], longestWaitMs: 3000 };
/** Bytes that came and are written. */
const there = (): Promise<number> => partBytesOf(target);
const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

let server: ModelServerStub;
let folder: string;
let bytes: Uint8Array;
let target: string;
let notes: string[];
beforeEach(async () => {
  server = await serveModels();
  folder = await mkdtemp(join(tmpdir(), 'pusa-downloads-'));
  target = join(folder, 'file.bin');
  bytes = sampleBytes(300_000, 1);
  server.put(repository, 'file.bin', bytes);
  notes = [];
});
afterEach(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

interface Wish {
  readonly file?: Partial<WantedFile>;
  readonly token?: string;
  readonly patience?: Patience;
  readonly signal?: AbortSignal;
  readonly onBytes?: (done: number) => void;
}

const get = (wish: Wish = {}): ReturnType<typeof downloadFile> =>
  downloadFile(
    { base: server.base, token: wish.token ?? null },
    { repository, path: 'file.bin', bytes: null, sha256: null, ...wish.file },
    target,
    {
      signal: wish.signal ?? new AbortController().signal,
      patience: wish.patience ?? quick,
      onNote: (sentence) => notes.push(sentence),
      ...(wish.onBytes === undefined ? {} : { onBytes: wish.onBytes }),
    },
  );

/** The file is whole and nothing else is left. */
async function expectWhole(expected: Uint8Array = bytes): Promise<void> {
  expect(Buffer.compare(await readFile(target), expected)).toBe(0);
  expect(await readdir(folder)).toEqual(['file.bin']);
}

describe('a file', () => {
  test('comes whole, is hashed and leaves nothing beside it', async () => {
    const told: number[] = [];
    const done = await get({ onBytes: (count) => told.push(count) });
    expect(done).toEqual({ path: target, bytes: bytes.byteLength, sha256: hashOf(bytes) });
    await expectWhole();
    expect(told.at(-1)).toBe(bytes.byteLength);
    expect(server.asked).toMatchObject([{ method: 'GET', range: undefined, authorization: undefined }]);
  });

  test('goes on where a connection broke, again and again', async () => {
    server.mischief = (request, response, times) => {
      if (times > 3) return false;
      dropAfter(request, response, bytes, 50_000, there);
      return true;
    };
    await get();
    await expectWhole();
    expect(server.asked.map(({ range }) => range)).toEqual([
      undefined,
      'bytes=50000-',
      'bytes=100000-',
      'bytes=150000-',
    ]);
    expect(server.asked[1]?.ifRange).toBe(etagOf(bytes));
    expect(notes.join(' ')).toMatch(/connection broke.*Trying again in 1 s/);
  });

  test('goes on in another call, from another process and from a torn piece of the disk', async () => {
    server.mischief = (request, response) => {
      dropAfter(request, response, bytes, 60_000, there);
      return true;
    };
    const none: Patience = { ...quick, retryMs: [] };
    expect(await failure(get({ patience: none }))).toMatchObject({
      code: 'DOWNLOAD_FAILED',
      remedy: 'Check the network, then resume: what is downloaded stays.',
    });
    expect(await partBytesOf(target)).toBe(60_000);
    server.mischief = null;
    await get();
    await expectWhole();
    expect(server.asked.at(-1)?.range).toBe('bytes=60000-');
  });

  test('a piece that the disk lost is downloaded again, those before it are not', async () => {
    const piece = 16 * 2 ** 20;
    bytes = sampleBytes(2 * piece + 1000, 2);
    server.put(repository, 'file.bin', bytes);
    server.mischief = (request, response, times) => {
      if (times > 1) return false;
      dropAfter(request, response, bytes, 2 * piece + 500, there);
      return true;
    };
    await failure(get({ patience: { ...quick, retryMs: [] } }));
    // As after a power cut: the second piece and what follows hold something else.
    const part = await readFile(`${target}.part`);
    part.fill(0, piece + 5, piece + 9);
    await writeFile(`${target}.part`, part);
    await get();
    await expectWhole();
    expect(server.asked.at(-1)?.range).toBe(`bytes=${piece}-`);
  });

  test('begins anew when the server has another file, and says so', async () => {
    const other = sampleBytes(280_000, 3);
    server.tellsHashes = false;
    server.mischief = (request, response, times) => {
      if (times > 1) return false;
      dropAfter(request, response, bytes, 90_000, there, false);
      server.put(repository, 'file.bin', other);
      return true;
    };
    expect(await get()).toMatchObject({ bytes: other.byteLength, sha256: hashOf(other) });
    await expectWhole(other);
    expect(server.asked[1]).toMatchObject({ range: 'bytes=90000-', ifRange: etagOf(bytes) });
    expect(notes).toContainEqual(expect.stringMatching(/changed on the server/));
  });

  test('begins anew when a server gives ranges of another file without saying so', async () => {
    const other = sampleBytes(300_000, 4);
    server.tellsHashes = false;
    server.mischief = (request, response, times) => {
      if (times === 1) {
        dropAfter(request, response, bytes, 90_000, there, false);
        return true;
      }
      delete request.headers['if-range'];
      answer(request, response, other, false);
      return true;
    };
    await get();
    await expectWhole(other);
    expect(server.asked.map(({ range }) => range)).toEqual([undefined, 'bytes=90000-', undefined]);
  });

  test('gives up a file that keeps changing', async () => {
    server.tellsHashes = false;
    server.mischief = (request, response, times) => {
      dropAfter(request, response, sampleBytes(300_000, 100 + times), 90_000, there, false);
      return true;
    };
    expect(await failure(get())).toMatchObject({
      code: 'DOWNLOAD_DAMAGED',
      message: '"file.bin" keeps changing on the server.',
    });
  });

  test('passes over what is here where a server knows no ranges', async () => {
    server.mischief = (request, response, times) => {
      if (times === 1) dropAfter(request, response, bytes, 90_000, there);
      else {
        delete request.headers.range;
        answer(request, response, bytes);
      }
      return true;
    };
    const told: number[] = [];
    await get({ onBytes: (count) => told.push(count) });
    await expectWhole();
    expect(Math.min(...told.slice(told.indexOf(90_000)))).toBe(90_000);
  });

  test('a range that is all there already is no error', async () => {
    server.mischief = (_, response, times) => {
      if (times > 1) return false;
      // No length and no hash: only the end of the connection says that it was all.
      response.writeHead(200, { etag: etagOf(bytes) });
      response.write(bytes);
      const watch = setInterval(() => {
        void there().then((came) => {
          if (came < bytes.byteLength) return;
          clearInterval(watch);
          response.destroy();
        });
      }, 5);
      return true;
    };
    server.tellsHashes = false;
    await get();
    await expectWhole();
    expect(server.asked[1]?.range).toBe('bytes=300000-');
  });

  test('a slow server is waited for, a silent one is asked again', async () => {
    server.mischief = (_, response, times) => {
      if (times > 1) return false;
      response.writeHead(200, { 'content-length': bytes.byteLength, etag: etagOf(bytes) });
      let at = 0;
      const drip = setInterval(() => {
        if (at >= 60_000) clearInterval(drip);
        else response.write(bytes.subarray(at, (at += 10_000)));
      }, 100);
      return true;
    };
    await get({ patience: { ...quick, stallMs: 400 } });
    await expectWhole();
    expect(server.asked.map(({ range }) => range)).toEqual([undefined, 'bytes=60000-']);
  });

  test('one that never begins to answer is given up after the last try', async () => {
    server.mischief = () => true;
    const error = await failure(get({ patience: { ...quick, stallMs: 50, retryMs: [5, 5] } }));
    expect(error.code).toBe('DOWNLOAD_FAILED');
    expect(server.asked).toHaveLength(3);
  });
});

describe('what lies', () => {
  test('a length that is too short for the known size is refused at once', async () => {
    server.tellsHashes = false;
    server.put(repository, 'file.bin', bytes.subarray(0, 1000));
    expect(await failure(get({ file: { bytes: bytes.byteLength, sha256: hashOf(bytes) } }))).toMatchObject({
      code: 'DOWNLOAD_DAMAGED',
      message: '"file.bin" is another file on the server than the known one: 1000 bytes instead of 300000.',
    });
    expect(server.asked).toHaveLength(1);
  });

  test('a length that is shorter than what the hash is of: the rest is asked for', async () => {
    server.mischief = (_, response, times) => {
      if (times > 1) return false;
      response.writeHead(200, {
        etag: etagOf(bytes),
        'x-linked-size': bytes.byteLength,
        'x-linked-etag': `"${hashOf(bytes)}"`,
        'content-length': 1000,
      });
      response.end(bytes.subarray(0, 1000));
      return true;
    };
    await get();
    await expectWhole();
    expect(server.asked[1]?.range).toBe('bytes=1000-');
  });

  test('more than there should be is not written', async () => {
    server.mischief = (_, response) => {
      response.writeHead(200, { etag: etagOf(bytes) });
      response.end(Buffer.concat([bytes, sampleBytes(50_000, 9)]));
      return true;
    };
    await get({ file: { bytes: bytes.byteLength, sha256: hashOf(bytes) } });
    await expectWhole();
  });

  test('other bytes than the known hash are refused and not kept', async () => {
    const wanted = hashOf(sampleBytes(10, 5));
    const error = await failure(get({ file: { sha256: wanted } }));
    expect(error.code).toBe('DOWNLOAD_DAMAGED');
    expect(error.message).toContain(`${hashOf(bytes).slice(0, 8)}… instead of ${wanted.slice(0, 8)}…`);
    expect(await partBytesOf(target)).toBe(0);
    expect(server.asked).toHaveLength(1);
  });

  test('bytes that went bad on the way are downloaded once more', async () => {
    const bad = bytes.slice();
    bad[10]! ^= 1;
    server.tellsHashes = false;
    // The same ETag for both: a proxy that damaged what it passed on.
    server.mischief = (request, response, times) => {
      if (times > 1) {
        response.setHeader('etag', etagOf(bad));
        const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
        const part = bytes.subarray(from);
        response.writeHead(from > 0 ? 206 : 200, {
          'content-length': part.byteLength,
          ...(from > 0 ? { 'content-range': `bytes ${from}-299999/300000` } : {}),
        });
        response.end(part);
      } else dropAfter(request, response, bad, 90_000, there, false);
      return true;
    };
    await get({ file: { sha256: hashOf(bytes) } });
    await expectWhole();
    expect(server.asked.map(({ range }) => range)).toEqual([undefined, 'bytes=90000-', undefined]);
    expect(notes).toContainEqual(expect.stringMatching(/begun anew/));
  });

  test('a packed answer and an endless circle are refused', async () => {
    server.mischief = (_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end('x');
      return true;
    };
    expect(await failure(get())).toMatchObject({ code: 'DOWNLOAD_REFUSED' });
    server.mischief = (request, response) => {
      response.writeHead(302, { location: request.url }).end();
      return true;
    };
    expect((await failure(get())).message).toMatch(/in a circle/);
  });
});

describe('who is asked', () => {
  test('a redirect to another host is followed without the token', async () => {
    const other = await serveModels();
    try {
      other.files.set('/bytes', bytes);
      other.tellsHashes = false;
      server.mischief = (_, response) => {
        response
          .writeHead(302, {
            location: `${other.base}/bytes`,
            'x-linked-size': bytes.byteLength,
            'x-linked-etag': `"${hashOf(bytes)}"`,
          })
          .end();
        return true;
      };
      await get({ token: 'secret' });
      await expectWhole();
      expect(server.asked.map(({ authorization }) => authorization)).toEqual(['Bearer secret']);
      expect(other.asked.map(({ authorization }) => authorization)).toEqual([undefined]);
    } finally {
      await other.close();
    }
  });

  test('a redirect to what is not encrypted is not followed', async () => {
    server.mischief = (_, response) => {
      response.writeHead(302, { location: 'http://192.0.2.1/file' }).end();
      return true;
    };
    expect((await failure(get())).message).toMatch(/http:\/\/192\.0\.2\.1, which is not encrypted/);
  });

  test.each([
    [401, null, /asks who you are/, /accept the licence there, and enter your access token/],
    [403, 'token', /does not let you have it/, /check that the access token/],
    [404, null, /it is not there/, /moved or renamed/],
    [400, null, /the server answered 400/, /another mirror/],
  ])('%i is said and not tried again', async (status, token, message, remedy) => {
    server.mischief = (_, response) => {
      response.writeHead(status).end();
      return true;
    };
    const error = await failure(get(token === null ? {} : { token }));
    expect(error.message).toMatch(message);
    expect(error.remedy).toMatch(remedy);
    expect(server.asked).toHaveLength(1);
  });

  test('a busy server is asked again when it says; one that asks for too much patience is not', async () => {
    let seconds = '1';
    server.mischief = (_, response, times) => {
      if (times === 2) return false;
      response.writeHead(times === 1 ? 429 : 503, { 'retry-after': seconds }).end();
      return true;
    };
    await get();
    await expectWhole();
    expect(notes).toEqual([expect.stringMatching(/busy and asks to wait\. Trying again in 1 s/)]);
    await rm(target);
    seconds = '100000';
    expect(await failure(get())).toMatchObject({ code: 'DOWNLOAD_FAILED' });
    expect(retryAfter('Wed, 21 Oct 2026 07:28:00 GMT', Date.parse('2026-10-21T07:27:00Z'))).toBe(60_000);
    expect(retryAfter('soon')).toBeNull();
  });

  test('errors of the server pass, and the last one is told', async () => {
    server.mischief = (_, response) => {
      response.writeHead(502).end();
      return true;
    };
    expect((await failure(get())).message).toBe(
      '"file.bin" could not be downloaded: the server answered 502.',
    );
    expect(server.asked).toHaveLength(1 + quick.retryMs.length);
  });

  test('mirrors are checked as they are typed', () => {
    expect(parseMirror('https://mirror.example/hf/')).toBe('https://mirror.example/hf');
    for (const text of ['mirror', 'ftp://x', 'https://a:b@x', 'https://x/?a', 'file:///etc', ''])
      expect(() => parseMirror(text)).toThrow(/not the address of a mirror/);
  });
});

describe('stopping', () => {
  test('keeps every byte that came, and resuming does not ask for them again', async () => {
    const stop = new AbortController();
    server.mischief = (_, response, times) => {
      if (times > 1) return false;
      response.writeHead(200, { 'content-length': bytes.byteLength, etag: etagOf(bytes) });
      response.write(bytes.subarray(0, 120_000));
      return true;
    };
    const got = get({
      signal: stop.signal,
      onBytes: (count) => {
        if (count === 120_000) stop.abort();
      },
    });
    expect(await failure(got)).toMatchObject({ code: 'CANCELLED' });
    expect(await partBytesOf(target)).toBe(120_000);
    await get();
    await expectWhole();
    expect(server.asked[1]?.range).toBe('bytes=120000-');
  });

  test('two processes do not write one file', async () => {
    server.mischief = (_, response, times) => {
      if (times > 1) return false;
      response.writeHead(200, { 'content-length': bytes.byteLength, etag: etagOf(bytes) });
      response.write(bytes.subarray(0, 1000));
      return true;
    };
    const child = startChild();
    await said(child, (text) => text.includes('1000'));
    expect((await failure(get())).message).toMatch(/Another program of Pusa Studio is downloading/);
    child.kill('SIGKILL');
    await ended(child);
    await get();
    await expectWhole();
  });

  test('a process that is killed over and over loses nothing', async () => {
    bytes = sampleBytes(4_000_000, 7);
    server.put(repository, 'file.bin', bytes);
    let sent = 0;
    server.mischief = (request, response) => {
      const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
      response.writeHead(from > 0 ? 206 : 200, {
        etag: etagOf(bytes),
        'content-length': bytes.byteLength - from,
        ...(from > 0 ? { 'content-range': `bytes ${from}-${bytes.byteLength - 1}/${bytes.byteLength}` } : {}),
      });
      let at = from;
      const drip = setInterval(() => {
        if (at >= bytes.byteLength || response.destroyed) {
          clearInterval(drip);
          response.end();
          return;
        }
        const piece = bytes.subarray(at, at + 100_000);
        sent += piece.byteLength;
        at += piece.byteLength;
        response.write(piece);
      }, 5);
      return true;
    };
    for (let kills = 0; kills < 5; kills++) {
      const before = await partBytesOf(target);
      const child = startChild();
      await said(child, (text) => text.split('\n').some((line) => Number(line) >= before + 300_000));
      child.kill('SIGKILL');
      await ended(child);
      const after = await partBytesOf(target);
      expect(after).toBeGreaterThanOrEqual(before + 300_000);
      expect(Buffer.compare(await readFile(`${target}.part`), bytes.subarray(0, after))).toBe(0);
    }
    const child = startChild();
    await said(child, (text) => text.includes('whole'));
    await ended(child);
    await expectWhole();
    const froms = server.asked.map(({ range }) => Number(/\d+/.exec(range ?? '')?.[0] ?? 0));
    expect(froms).toEqual([...froms].sort((a, b) => a - b));
    expect(sent).toBeGreaterThanOrEqual(bytes.byteLength);
  });

  function startChild(): ReturnType<typeof spawn> {
    return spawn(
      process.execPath,
      [
        join(import.meta.dirname, 'downloads-child.ts'),
        server.base,
        repository,
        'file.bin',
        target,
        hashOf(bytes),
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
  }
});

function said(child: ReturnType<typeof spawn>, enough: (text: string) => boolean): Promise<void> {
  let text = '';
  return new Promise((resolve, reject) => {
    child.stdout?.on('data', (piece: Buffer) => {
      text += piece.toString();
      if (enough(text)) resolve();
    });
    child.on('exit', () => reject(new Error(`It ended, having said: ${text.slice(-200)}`)));
  });
}

function ended(child: ReturnType<typeof spawn>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => child.once('exit', () => resolve()));
}

describe('a set', () => {
  const files = ['a.bin', 'b/c.bin', 'd.bin', 'e.bin'].map((path) => ({
    repository,
    path,
    bytes: null,
    sha256: null,
  }));
  beforeEach(() => {
    files.forEach(({ path }, index) => server.put(repository, path, sampleBytes(100_000, 20 + index)));
  });

  test('sizes are asked for first, files come some at once, and progress is of all together', async () => {
    const told: [number, number | null][] = [];
    const done = await downloadSet({ base: server.base, token: null }, files, folder, {
      signal: new AbortController().signal,
      patience: quick,
      onBytes: (bytes, total) => told.push([bytes, total]),
    });
    expect(done.map(({ path }) => path)).toEqual(files.map((file) => placeOf(folder, file)));
    expect(told[0]).toEqual([0, 400_000]);
    expect(told.at(-1)).toEqual([400_000, 400_000]);
    expect(server.asked.slice(0, 4).map(({ method }) => method)).toEqual(['HEAD', 'HEAD', 'HEAD', 'HEAD']);
    expect((await stat(join(folder, 'maker', 'model', 'b', 'c.bin'))).size).toBe(100_000);
  });

  test('a file that is whole already is read and not asked for again; one that is another is', async () => {
    const place = placeOf(folder, files[1]!);
    await mkdir(dirname(place), { recursive: true });
    await writeFile(place, sampleBytes(100_000, 21));
    await writeFile(placeOf(folder, files[0]!), sampleBytes(100_000, 99));
    const done = await downloadSet({ base: server.base, token: null }, files, folder, {
      signal: new AbortController().signal,
      patience: quick,
    });
    expect(done.map(({ sha256 }) => sha256)).toEqual(
      files.map((_, index) => hashOf(sampleBytes(100_000, 20 + index))),
    );
    const got = server.asked.filter(({ method }) => method === 'GET').map(({ url }) => url.split('/').at(-1));
    expect(got.sort()).toEqual(['a.bin', 'd.bin', 'e.bin']);
  });

  test('the first failure is told, and the others keep what they have', async () => {
    server.mischief = (request, response) => {
      if (request.method === 'HEAD') return false;
      if (request.url?.endsWith('d.bin') === true) {
        setTimeout(() => response.writeHead(403).end(), 200);
        return true;
      }
      response.writeHead(200, { 'content-length': 100_000, etag: '"e"' });
      response.write(sampleBytes(100_000, 20).subarray(0, 40_000));
      return true;
    };
    const error = await failure(
      downloadSet({ base: server.base, token: null }, files, folder, {
        signal: new AbortController().signal,
        patience: quick,
      }),
    );
    expect(error.message).toMatch(/"d.bin" cannot be downloaded/);
    expect(await partBytesOf(placeOf(folder, files[0]!))).toBe(40_000);
    await truncate(`${placeOf(folder, files[1]!)}.part`, 10);
  });

  test('what would not fit is not begun', async () => {
    const huge = { repository, path: 'huge.bin', bytes: 2 ** 52, sha256: null };
    const error = await failure(
      downloadSet({ base: server.base, token: null }, [huge], folder, {
        signal: new AbortController().signal,
      }),
    );
    expect(error).toMatchObject({ code: 'DISK_FULL' });
    expect(error.message).toMatch(/The download takes 4504 TB more .* GB are free/);
    expect(server.asked).toEqual([]);
    // Neither is what fits itself, but not with what has to be made of it.
    const small = { ...huge, bytes: 1 };
    const converted = await failure(
      downloadSet({ base: server.base, token: null }, [small], folder, {
        signal: new AbortController().signal,
        besides: 2 ** 52,
      }),
    );
    expect(converted.message).toMatch(/^The download, with what is converted of it, takes 4504 TB more/);
    expect(server.asked).toEqual([]);
    await requireSpace(join(folder, 'not', 'yet', 'there'), 1, 'Little');
  });
});
