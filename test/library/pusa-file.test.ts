import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm, stat, symlink, lstat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toPusaError, type ErrorCode } from '../../src-main/core/errors.ts';
import {
  readPusaFile,
  writePusaFile,
  type MediaSource,
  type PusaFileContents,
} from '../../src-main/library/pusa-file.ts';
import {
  arbitraryProject,
  sampleBytes,
  sampleMedia,
  sampleProject,
  sampleTake,
  sha256,
} from '../support/project.ts';

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pusa-file-'));
  file = join(folder, 'sample.pusa');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Hands bytes over in pieces of a length that no chunk is a multiple of. */
function source(bytes: Uint8Array, pieceBytes = 77_777): MediaSource {
  return {
    hash: sha256(bytes),
    async *open() {
      for (let at = 0; at < bytes.length; at += pieceBytes) {
        yield await Promise.resolve(bytes.subarray(at, at + pieceBytes));
      }
    },
  };
}

const takeVideo = sampleBytes(1024 * 1024, 3);

function everything(): PusaFileContents {
  return {
    project: sampleProject(),
    settings: { zoom: 1.5, tab: 'prompt', folded: true, selection: null },
    media: Object.values(sampleMedia).map((bytes) => source(bytes)),
    takes: [{ take: sampleTake(), ...source(takeVideo) }],
  };
}

async function refusal(action: Promise<unknown>): Promise<{ code: ErrorCode; message: string }> {
  const error = await action.then(() => null, toPusaError);
  if (error === null) throw new Error('It was accepted.');
  expect(error.message).toMatch(/\.$/);
  expect(error.remedy).toMatch(/\.$/);
  return { code: error.code, message: error.message };
}

/** Changes the file as a foreign program would, then expects it to be refused. */
async function refusedAfter(...statements: string[]): Promise<{ code: ErrorCode; message: string }> {
  await writePusaFile(file, everything());
  const database = new Database(file);
  database.unsafeMode(true);
  for (const statement of statements) database.exec(statement);
  database.close();
  return refusal(readPusaFile(file).then((opened) => opened.close()));
}

describe('round trip', () => {
  it('gives back every project exactly', async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryProject, async (project) => {
        await writePusaFile(file, { project, media: [], takes: [] });
        const opened = await readPusaFile(file);
        opened.close();
        expect(opened.project).toStrictEqual(project);
        expect(opened.media.size).toBe(0);
        expect(opened.takes).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  it('gives back settings, takes and media, byte for byte, in one single file', async () => {
    await writePusaFile(file, everything());
    expect(await readdir(folder)).toEqual(['sample.pusa']);
    const opened = await readPusaFile(file);
    expect(opened.project).toStrictEqual(sampleProject());
    expect(opened.settings).toEqual(everything().settings);
    expect(opened.takes).toEqual([{ take: sampleTake(), hash: sha256(takeVideo) }]);
    const all = [...Object.values(sampleMedia), takeVideo];
    expect(new Map([...opened.media].map(([hash, { bytes }]) => [hash, bytes]))).toEqual(
      new Map(all.map((bytes) => [sha256(bytes), bytes.length])),
    );
    for (const bytes of all) {
      const to = join(folder, 'extracted');
      await opened.extractMedia(sha256(bytes), to);
      expect(sha256(await readFile(to))).toBe(sha256(bytes));
    }
    expect((await refusal(opened.extractMedia('0'.repeat(64), join(folder, 'none')))).code).toBe(
      'PROJECT_INVALID',
    );
    opened.close();
    expect((await readdir(folder)).sort()).toEqual(['extracted', 'sample.pusa']);
  });

  it('gives back sequences picture by picture', async () => {
    const pictures = [sampleBytes(700_000, 4), sampleBytes(1, 5), sampleBytes(1_600_000, 6)];
    const bytes = Buffer.concat(pictures);
    const lengths = pictures.map(({ length }) => length);
    const project = sampleProject();
    const [picture, clip] = project.assets;
    const sequence = { ...clip!, kind: 'sequence' as const, fps: 24, duration: 3 / 24 };
    const assets = [picture!, { ...sequence, hash: sha256(bytes), bytes: bytes.length }];
    const contents = { project: { ...project, assets }, takes: [] };
    await writePusaFile(file, {
      ...contents,
      media: [source(sampleMedia['sunset']!), { ...source(bytes), parts: lengths }],
    });
    const opened = await readPusaFile(file);
    expect(opened.project).toStrictEqual(contents.project);
    expect(opened.media.get(sha256(bytes))).toMatchObject({ bytes: bytes.length, parts: lengths });
    await opened.extractMedia(sha256(bytes), join(folder, 'frames'));
    opened.close();
    const names = ['000001.png', '000002.png', '000003.png'];
    expect((await readdir(join(folder, 'frames'))).sort()).toEqual(names);
    for (const [index, name] of names.entries()) {
      expect(sha256(await readFile(join(folder, 'frames', name)))).toBe(sha256(pictures[index]!));
    }
    expect((await readdir(folder)).sort()).toEqual(['frames', 'sample.pusa']);

    const changes = [
      ['UPDATE part SET bytes = bytes + 1 WHERE id = 2', 'do not fill'],
      ['DELETE FROM part WHERE id = 2', '3 pictures, and the file has 2'],
      ['DELETE FROM part', '3 pictures, and the file has 1'],
      ['UPDATE part SET bytes = -1 WHERE id = 2', 'claims -1 bytes'],
      ['UPDATE part SET media = 9 WHERE id = 2', 'of media 9'],
      ['UPDATE part SET media = 1 WHERE id = 2', 'the file has 2'],
    ] as const;
    const whole = await readFile(file);
    for (const [change, expected] of changes) {
      await writeFile(file, whole);
      new Database(file).exec(change).close();
      expect((await refusal(readPusaFile(file))).message).toContain(expected);
    }
    for (const parts of [[1, 2], [...lengths, 1], undefined]) {
      const media = [{ ...source(bytes), ...(parts === undefined ? {} : { parts }) }];
      expect((await refusal(writePusaFile(file, { ...contents, media }))).code).toBe('PROJECT_INVALID');
    }
  });

  it('stores equal media once', async () => {
    const bytes = sampleMedia['sunset']!;
    const project = sampleProject();
    await writePusaFile(file, {
      project: { ...project, assets: [...project.assets, { ...project.assets[0]!, id: 'again' }] },
      media: [source(bytes), source(bytes)],
      takes: [{ take: sampleTake(), ...source(bytes) }],
    });
    expect((await stat(file)).size).toBeLessThan(2 * bytes.length + 40_000);
    const opened = await readPusaFile(file);
    expect(opened.media.size).toBe(1);
    opened.close();
  });

  it('works under names that look like an address', async () => {
    for (const name of ['file:x?mode=memory', ' a b%41#?c.pusa', '港口.pusa']) {
      const odd = join(folder, name);
      await writePusaFile(odd, everything());
      const opened = await readPusaFile(odd);
      expect(opened.project.id).toBe('sample');
      opened.close();
      expect(await readdir(folder)).toEqual([name]);
      await rm(odd);
    }
    const trimmed = join(folder, 'a.pusa ');
    expect((await refusal(readPusaFile(trimmed))).message).toContain('ends with a space');
  });
});

describe('saving', () => {
  it('leaves the old file whole and nothing beside it when it fails', async () => {
    await writePusaFile(file, everything());
    const before = sha256(await readFile(file));
    const bytes = sampleMedia['sunset']!;
    const breaking: MediaSource = {
      hash: sha256(bytes),
      // eslint-disable-next-line @typescript-eslint/require-await -- a stream that breaks off has nothing to wait for
      async *open() {
        yield bytes.subarray(0, 1000);
        throw Object.assign(new Error('gone'), { code: 'ENOENT' });
      },
    };
    const project = sampleProject();
    const sequence = {
      ...project,
      assets: project.assets.map((asset) => ({ ...asset, kind: 'sequence' as const })),
    };
    const failures: [PusaFileContents, ErrorCode][] = [
      [{ project, media: [breaking], takes: [] }, 'MEDIA_UNREADABLE'],
      [{ project, media: [{ ...source(bytes), hash: sha256(takeVideo) }], takes: [] }, 'MEDIA_UNREADABLE'],
      [{ project, media: [source(takeVideo)], takes: [] }, 'PROJECT_INVALID'],
      [{ project: sequence, media: [source(bytes)], takes: [] }, 'PROJECT_INVALID'],
      [{ project, media: [source(new Uint8Array(0))], takes: [] }, 'FILE_EMPTY'],
      [{ project: { ...project, fps: Number.NaN }, media: [], takes: [] }, 'PROJECT_INVALID'],
      [{ project, settings: { 'no name': 1 }, media: [], takes: [] }, 'PROJECT_INVALID'],
    ];
    for (const [contents, code] of failures) {
      expect((await refusal(writePusaFile(file, contents))).code).toBe(code);
      expect(sha256(await readFile(file))).toBe(before);
      expect(await readdir(folder)).toEqual(['sample.pusa']);
    }
    expect((await refusal(writePusaFile(join(folder, 'none', 'x.pusa'), everything()))).code).toBe(
      'WRITE_FAILED',
    );
    expect((await refusal(writePusaFile(folder, everything()))).code).toBe('WRITE_FAILED');
  });

  it.skipIf(process.platform === 'win32')('keeps a link and replaces what it points to', async () => {
    const link = join(folder, 'link.pusa');
    await writePusaFile(file, { project: { ...sampleProject(), name: 'old' }, media: [], takes: [] });
    await symlink(file, link);
    await writePusaFile(link, everything());
    expect((await lstat(link)).isSymbolicLink()).toBe(true);
    const opened = await readPusaFile(file);
    expect(opened.project.name).toBe(sampleProject().name);
    opened.close();
  });
});

describe('opening', () => {
  it('writes nothing, and believes nothing beside the file', async () => {
    await writePusaFile(file, everything());
    const before = await readFile(file);
    const opened = await readPusaFile(file);
    expect(await readdir(folder)).toEqual(['sample.pusa']);
    opened.close();
    for (const name of ['sample.pusa-journal', 'sample.pusa-wal']) {
      await writeFile(join(folder, name), sampleBytes(5000, 9));
      expect((await refusal(readPusaFile(file))).message).toContain(`"${name}" beside it`);
      await rm(join(folder, name));
    }
    expect(before.equals(await readFile(file))).toBe(true);
    expect(await readdir(folder)).toEqual(['sample.pusa']);
  });

  it('refuses what is no project file, each with its code', async () => {
    expect((await refusal(readPusaFile(join(folder, 'missing.pusa')))).code).toBe('FILE_NOT_FOUND');
    expect((await refusal(readPusaFile(folder))).code).toBe('PROJECT_INVALID');
    await writeFile(file, '');
    expect((await refusal(readPusaFile(file))).code).toBe('FILE_EMPTY');
    await writeFile(file, 'SQLite format 3\0');
    expect((await refusal(readPusaFile(file))).message).toContain('another kind');
    await rm(file);
    new Database(file).exec('CREATE TABLE project (id)').close();
    expect((await refusal(readPusaFile(file))).message).toContain('another kind');
    if (process.platform !== 'win32') {
      await rm(file);
      execFileSync('mkfifo', [file]);
      expect((await refusal(readPusaFile(file))).message).toContain('not a file');
    }
  });

  it('tells a newer file from a broken one', async () => {
    expect((await refusedAfter('PRAGMA user_version = 3')).code).toBe('PROJECT_TOO_NEW');
    // A newer file may look different in every other respect.
    expect(
      (
        await refusedAfter(
          'PRAGMA user_version = 7',
          'DROP TABLE take',
          'CREATE TABLE scene (id)',
          'PRAGMA journal_mode = WAL',
        )
      ).code,
    ).toBe('PROJECT_TOO_NEW');
    expect((await refusedAfter('PRAGMA user_version = 0')).code).toBe('PROJECT_INVALID');
    expect((await refusedAfter('PRAGMA user_version = -1')).code).toBe('PROJECT_INVALID');
  });

  it('opens a file of version 1', async () => {
    await writePusaFile(file, everything());
    new Database(file).exec('DROP TABLE part; PRAGMA user_version = 1').close();
    const opened = await readPusaFile(file);
    expect(opened.project).toStrictEqual(sampleProject());
    expect(opened.media.size).toBe(3);
    opened.close();
    new Database(file).exec('PRAGMA user_version = 2').close();
    expect((await refusal(readPusaFile(file))).message).toContain('schema');
    const samples = new URL('../../resources/samples/', import.meta.url);
    for (const name of (await readdir(samples)).filter((each) => each.endsWith('.pusa'))) {
      const sample = await readPusaFile(fileURLToPath(new URL(name, samples)));
      expect(sample.project.ranges).toHaveLength(1);
      sample.close();
    }
  });

  it.each([
    ['a trigger', 'CREATE TRIGGER t AFTER INSERT ON media BEGIN DELETE FROM take; END'],
    ['a view', 'CREATE VIEW v AS SELECT * FROM project'],
    ['a virtual table', 'CREATE VIRTUAL TABLE v USING fts5(x)'],
    ['an index', 'CREATE INDEX i ON media (hash)'],
    ['an extra table', 'CREATE TABLE x (id)'],
    [
      'a view in place of a table',
      'ALTER TABLE project RENAME TO p',
      'CREATE VIEW project AS SELECT * FROM p',
    ],
    ['an extra column', 'ALTER TABLE take ADD COLUMN path TEXT'],
    ['a missing table', 'DROP TABLE setting'],
    [
      'a schema text with a check',
      'PRAGMA writable_schema = ON',
      "UPDATE sqlite_schema SET sql = replace(sql, 'json TEXT NOT NULL', 'json TEXT NOT NULL CHECK (length(json) > 0)') WHERE name = 'project'",
    ],
    [
      'tables in another order',
      'CREATE TABLE y AS SELECT * FROM media',
      'DROP TABLE media',
      'ALTER TABLE y RENAME TO media',
    ],
  ])('refuses a foreign schema: %s', async (_name, ...statements) => {
    const { code, message } = await refusedAfter(...statements);
    expect(code).toBe('PROJECT_INVALID');
    expect(message).toContain('schema');
  });

  it.each([
    ['no project', 'DELETE FROM project', 'no project'],
    ['two projects', 'INSERT INTO project (json) SELECT json FROM project', 'more than 1 rows'],
    ['text that is not JSON', `UPDATE project SET json = '{"name":'`, 'the project is not JSON'],
    [
      'a field of the project',
      `UPDATE project SET json = json_set(json, '$.clips[1].start', -1)`,
      'clips[1].start',
    ],
    ['an absurd number', `UPDATE project SET json = replace(json, '"fps":16', '"fps":1e999')`, 'fps'],
    ['a project too long', `UPDATE project SET json = json || printf('%.*c', 33554432, ' ')`, 'too large'],
    [
      'a field of a take',
      `UPDATE take SET json = json_set(json, '$.plan.steps', 0)`,
      'take 0 is not valid at plan.steps',
    ],
    ['a take without its video', `UPDATE take SET hash = '${'0'.repeat(64)}'`, 'the video of a take'],
    ['a setting twice', 'INSERT INTO setting (name, json) SELECT name, json FROM setting', 'a setting twice'],
    ['a setting of no kind', `UPDATE setting SET json = '{"a":[]}'`, 'settings'],
    ['a hash that is a path', `UPDATE media SET hash = '../../../../etc/passwd'`, 'the hash of media 0'],
    [
      'a length beyond the file',
      'UPDATE media SET bytes = 9223372036854775807',
      'claims 9223372036854776000 bytes',
    ],
    [
      'a length that the asset does not have',
      'UPDATE media SET bytes = bytes - 1 WHERE id = 1',
      'asset "sunset" should have',
    ],
    ['a negative chunk', 'UPDATE media SET first_chunk = -5', 'chunk -5'],
    [
      'media of nothing',
      `UPDATE project SET json = json_set(json, '$.assets', json('[]'), '$.clips', json('[]'))`,
      'no picture, clip or take in it uses',
    ],
    [
      'too many settings',
      `INSERT INTO setting (name, json) SELECT 'a' || value, 1 FROM generate_series(1, 1000)`,
      'more than 1000 rows',
    ],
  ])('refuses foreign records: %s', async (_name, statement, expected) => {
    const filled = statement.replace(
      'FROM generate_series(1, 1000)',
      'FROM (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 1000) SELECT value FROM n)',
    );
    const { code, message } = await refusedAfter(filled);
    expect(code).toBe('PROJECT_INVALID');
    expect(message).toContain(expected);
  });

  it.each([
    ['another byte', 'UPDATE chunk SET data = zeroblob(length(data)) WHERE id = 2'],
    ['a missing part', 'DELETE FROM chunk WHERE id = 3'],
    ['a part of another length', 'UPDATE chunk SET data = zeroblob(20000000) WHERE id = 2'],
    ['parts of something else', 'UPDATE media SET first_chunk = 1 WHERE id = 2'],
  ])('finds damaged media when they are taken out: %s', async (_name, statement) => {
    await writePusaFile(file, everything());
    new Database(file).exec(statement).close();
    const opened = await readPusaFile(file);
    const hash = sha256(sampleMedia['harbour']!);
    const { code, message } = await refusal(opened.extractMedia(hash, join(folder, 'out')));
    opened.close();
    expect(code).toBe('PROJECT_INVALID');
    expect(message).toContain(hash.slice(0, 12));
    expect(await readdir(folder)).toEqual(['sample.pusa']);
  });

  it('does not follow a tree whose pages lead to one another for ever', async () => {
    const project = sampleProject();
    await writePusaFile(file, { project, media: [], takes: [] });
    const database = new Database(file);
    const insert = database.prepare('INSERT INTO media (hash, bytes, first_chunk) VALUES (?, 1, 1)');
    database.exec('BEGIN');
    for (let row = 0; row < 900; row++) insert.run(sha256(Uint8Array.of(row, row >> 8)));
    const { rootpage } = database
      .prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'media'")
      .get() as { rootpage: number };
    database.exec('COMMIT');
    database.close();
    const bytes = await readFile(file);
    const root = (rootpage - 1) * 4096;
    expect(bytes.readUInt8(root)).toBe(0x05);
    const cells = bytes.readUInt16BE(root + 3);
    expect(cells).toBeGreaterThan(10);
    const first = bytes.readUInt32BE(root + bytes.readUInt16BE(root + 12));
    for (let cell = 0; cell < cells; cell++) {
      bytes.writeUInt32BE(cell % 2 === 0 ? first : rootpage, root + bytes.readUInt16BE(root + 12 + 2 * cell));
    }
    await writeFile(file, bytes);
    expect((await refusal(readPusaFile(file))).message).toContain('damaged');
  });
});
