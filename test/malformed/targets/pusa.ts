import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { readPusaFile, writePusaFile } from '../../../src-main/library/pusa-file.ts';
import { sampleBytes, sampleProject, sampleTake, sha256 } from '../../support/project.ts';
import {
  emptied,
  explain,
  jsonChanged,
  ofAnotherKind,
  renumbered,
  scrambled,
  toJsonText,
  truncated,
  WronglyAccepted,
  type ByteChange,
  type NumberField,
  type Random,
  type Target,
} from '../mutate.ts';

const pageBytes = 4096;
const picture = sampleBytes(5_000, 21);
/** More than one chunk. */
const video = sampleBytes(1_100_000, 22);

/** The database header (https://www.sqlite.org/fileformat2.html#the_database_header): what must be as it is. */
const strictFields: readonly NumberField[] = [
  { name: 'header, magic', at: 0, bytes: 4 },
  { name: 'header, page size', at: 16, bytes: 2 },
  { name: 'header, write version', at: 18, bytes: 1 },
  { name: 'header, read version', at: 19, bytes: 1 },
  { name: 'header, reserved space', at: 20, bytes: 1 },
  { name: 'header, page count', at: 28, bytes: 4 },
  { name: 'header, text encoding', at: 56, bytes: 4 },
  { name: 'header, user version', at: 60, bytes: 4 },
  { name: 'header, application id', at: 68, bytes: 4 },
];
/** What SQLite may overlook. */
const looseFields: readonly NumberField[] = [
  { name: 'header, largest payload fraction', at: 21, bytes: 1 },
  { name: 'header, change counter', at: 24, bytes: 4 },
  { name: 'header, first free page', at: 32, bytes: 4 },
  { name: 'header, free pages', at: 36, bytes: 4 },
  { name: 'header, schema cookie', at: 40, bytes: 4 },
  { name: 'header, schema format', at: 44, bytes: 4 },
  { name: 'header, largest root page', at: 52, bytes: 4 },
  { name: 'header, incremental vacuum', at: 64, bytes: 4 },
  { name: 'header, version valid for', at: 92, bytes: 4 },
];

/** Changes that a program with SQLite could make; `json` in a statement stands for the parameter. */
const statements: readonly (readonly [
  field: string,
  change: string,
  mustRefuse: boolean,
  ...sql: string[],
])[] = [
  ['schema', 'a trigger', true, 'CREATE TRIGGER t AFTER UPDATE ON project BEGIN DELETE FROM take; END'],
  ['schema', 'a view', true, 'CREATE VIEW v AS SELECT * FROM project'],
  [
    'schema',
    'a view in place of a table',
    true,
    'DROP TABLE setting',
    'CREATE VIEW setting AS SELECT 1 AS id, 2 AS name, 3 AS json',
  ],
  ['schema', 'a virtual table', true, 'CREATE VIRTUAL TABLE v USING rtree(id, a, b)'],
  ['schema', 'an index', true, 'CREATE INDEX i ON take (hash)'],
  ['schema', 'one table too many', true, 'CREATE TABLE attachment (id INTEGER PRIMARY KEY, path TEXT)'],
  ['schema', 'a table missing', true, 'DROP TABLE take'],
  ['schema', 'a column missing', true, 'ALTER TABLE media DROP COLUMN bytes'],
  ['schema', 'a generated column', true, 'ALTER TABLE project ADD COLUMN x TEXT AS (json)'],
  [
    'schema',
    'a table without its STRICT',
    true,
    'PRAGMA writable_schema = ON',
    `UPDATE sqlite_schema SET sql = replace(sql, ' STRICT', '') WHERE name = 'media'`,
  ],
  [
    'schema',
    'two tables on one tree',
    true,
    'PRAGMA writable_schema = ON',
    `UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'chunk') WHERE name = 'project'`,
  ],
  [
    'schema',
    'a tree outside the file',
    true,
    'PRAGMA writable_schema = ON',
    `UPDATE sqlite_schema SET rootpage = 99999999 WHERE name = 'take'`,
  ],
  ['application_id', 'another program', true, 'PRAGMA application_id = 1'],
  ['user_version', 'a newer one', true, 'PRAGMA user_version = 3'],
  ['user_version', 'an older one', true, 'PRAGMA user_version = 1'],
  ['user_version', 'far newer', true, 'PRAGMA user_version = 2147483647'],
  ['user_version', 'none', true, 'PRAGMA user_version = 0'],
  ['user_version', 'negative', true, 'PRAGMA user_version = -3'],
  ['header, write version', 'a write-ahead log', true, 'PRAGMA journal_mode = WAL'],
  ['project', 'no row', true, 'DELETE FROM project'],
  ['project', 'a second row', true, 'INSERT INTO project (json) SELECT json FROM project'],
  [
    'project.json',
    'a blob',
    true,
    'PRAGMA writable_schema = ON',
    `UPDATE sqlite_schema SET sql = replace(sql, ' STRICT', '') WHERE name = 'project'`,
    'PRAGMA writable_schema = RESET',
    'UPDATE project SET json = CAST(json AS BLOB)',
    'PRAGMA writable_schema = ON',
    `UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE name = 'project'`,
  ],
  ['project.json', 'far too long', true, `UPDATE project SET json = json || printf('%.*c', 40000000, ' ')`],
  ['project.json', 'nested without end', true, `UPDATE project SET json = printf('%.*c', 2000000, '[')`],
  ['project.json', 'blanks around it', false, `UPDATE project SET json = '  ' || json || '  '`],
  ['project.id', 'another row id', false, 'UPDATE project SET id = 77'],
  ['setting.name', 'a name twice', true, 'INSERT INTO setting (name, json) SELECT name, json FROM setting'],
  ['setting.name', 'no name for a setting', true, `UPDATE setting SET name = '__proto__'`],
  ['setting.json', 'an object', true, `UPDATE setting SET json = '{"a":1}'`],
  ['setting.json', 'another number', false, `UPDATE setting SET json = '-7'`],
  ['media.hash', 'another hash', true, `UPDATE media SET hash = '${'0'.repeat(64)}' WHERE id = 1`],
  ['media.hash', 'in capitals', true, 'UPDATE media SET hash = upper(hash)'],
  ['media.hash', 'a path', true, `UPDATE media SET hash = '../../x'`],
  [
    'media.hash',
    'twice',
    true,
    'INSERT INTO media (hash, bytes, first_chunk) SELECT hash, bytes, first_chunk FROM media',
  ],
  ['media.bytes', 'one more', true, 'UPDATE media SET bytes = bytes + 1'],
  ['media.bytes', 'none', true, 'UPDATE media SET bytes = 0'],
  ['media.bytes', 'negative', true, 'UPDATE media SET bytes = -bytes'],
  ['media.bytes', 'more than any file', true, 'UPDATE media SET bytes = 9007199254740993'],
  ['media.first_chunk', 'of other media', true, 'UPDATE media SET first_chunk = 4 - first_chunk'],
  ['media.first_chunk', 'beyond the last', true, 'UPDATE media SET first_chunk = 9223372036854775807'],
  ['media.first_chunk', 'zero', true, 'UPDATE media SET first_chunk = 0'],
  ['take.hash', 'of no media', true, `UPDATE take SET hash = '${'1'.repeat(64)}'`],
  [
    'take',
    'rows without end',
    true,
    `INSERT INTO take (hash, json) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000) SELECT '', '{}' FROM n`,
  ],
  [
    'chunk.data',
    'another byte',
    true,
    `UPDATE chunk SET data = CAST(x'00' || substr(data, 2) AS BLOB) WHERE id = 2 AND substr(data, 1, 1) <> x'00'`,
    `UPDATE chunk SET data = CAST(x'01' || substr(data, 2) AS BLOB) WHERE id = 1`,
  ],
  [
    'chunk.data',
    'one byte less',
    true,
    'UPDATE chunk SET data = substr(data, 1, length(data) - 1) WHERE id = 2',
  ],
  ['chunk.data', 'far too long', true, 'UPDATE chunk SET data = zeroblob(50000000) WHERE id = 2'],
  ['chunk.data', 'empty', true, `UPDATE chunk SET data = x''`],
  ['chunk', 'one row missing', true, 'DELETE FROM chunk WHERE id = 3'],
  ['chunk', 'one row too many', false, `INSERT INTO chunk (data) VALUES (x'00')`],
];

/** `.pusa` files: their bytes, their schema, their rows and the JSON in them. */
export const pusaFiles: Target = {
  name: '.pusa',
  share: 8,
  async prepare(folder) {
    const path = join(folder, 'case.pusa');
    const project = sampleProject();
    for (const [at, bytes] of [picture, video].entries()) {
      Object.assign(project.assets[at]!, { hash: sha256(bytes), bytes: bytes.length });
    }
    const source = (bytes: Uint8Array) => ({
      hash: sha256(bytes),
      open: async function* () {
        yield await Promise.resolve(bytes);
      },
    });
    const settings = { zoom: 2 };
    const take = sampleTake();
    await writePusaFile(path, {
      project,
      settings,
      media: [source(picture), source(video)],
      takes: [{ take, ...source(picture) }],
    });
    const sound = await readFile(path);
    const expected = { project, settings, takes: [{ take, hash: sha256(picture) }] };
    const pages = pagesOf(path);

    const extracted = join(folder, 'extracted');
    const readAll = async (): Promise<string> => {
      const file = await readPusaFile(path);
      try {
        for (const hash of file.media.keys()) {
          await file.extractMedia(hash, extracted);
          if (sha256(await readFile(extracted)) !== hash)
            throw new WronglyAccepted(`media ${hash} are others`);
        }
        return explain(expected, { project: file.project, settings: file.settings, takes: file.takes });
      } finally {
        file.close();
      }
    };
    /** Writes it, reads everything there is in it, and looks whether anything was left beside it. */
    const feed = async (bytes: Uint8Array): Promise<string> => {
      await writeFile(path, bytes);
      const result = await readAll().then(
        (because) => () => because,
        (thrown: unknown) => () => {
          throw thrown;
        },
      );
      await rm(extracted, { force: true });
      const left = (await readdir(folder)).filter((name) => name !== 'case.pusa');
      if (left.length > 0) throw new WronglyAccepted(`it leaves ${left.join(', ')} behind`);
      return result();
    };
    const mutant = ({ bytes, ...change }: ByteChange) => ({ ...change, feed: () => feed(bytes) });

    /** The file after some SQL. */
    const changedBy = async (
      sql: readonly string[],
      parameters: readonly unknown[] = [],
    ): Promise<Uint8Array> => {
      await writeFile(path, sound);
      const database = new Database(path);
      database.unsafeMode(true);
      database.pragma('synchronous = OFF');
      for (const statement of sql) {
        if (parameters.length > 0) database.prepare(statement).run(...parameters);
        else database.exec(statement);
      }
      database.close();
      return readFile(path);
    };
    const bySql = async (random: Random): Promise<ByteChange> => {
      const [field, change, mustRefuse, ...sql] = random.pick(statements);
      return { field, change, mustRefuse, bytes: await changedBy(sql) };
    };
    const byJson = async (random: Random): Promise<ByteChange> => {
      const [table, root] = random.pick([
        ['project', project],
        ['project', project],
        ['take', take],
      ] as const);
      const { value, field, ...change } = jsonChanged(random, root);
      const bytes = await changedBy([`UPDATE ${table} SET json = ?`], [toJsonText(value)]);
      return { ...change, field: `${table}.json, ${field}`, bytes };
    };
    const byPage = (random: Random): ByteChange => {
      const { number, name, interior } = random.pick(pages.filter((page) => page.tree));
      const at = (number - 1) * pageBytes + (number === 1 ? 100 : 0);
      const cells = sound.readUInt16BE(at + 3);
      const firstCell = at + (interior ? 12 : 8);
      const fields: NumberField[] = [
        { name: 'kind', at, bytes: 1 },
        { name: 'first free block', at: at + 1, bytes: 2 },
        { name: 'cell count', at: at + 3, bytes: 2 },
        { name: 'start of cells', at: at + 5, bytes: 2 },
        ...(interior ? [{ name: 'right-most page', at: at + 8, bytes: 4 } as const] : []),
        ...(cells > 0 ? [{ name: 'first cell’s place', at: firstCell, bytes: 2 } as const] : []),
        // A cell of a leaf begins with the length of its row.
        ...(cells > 0
          ? [
              {
                name: 'first cell’s length',
                at: at - (number === 1 ? 100 : 0) + sound.readUInt16BE(firstCell),
                bytes: 2,
              } as const,
            ]
          : []),
      ];
      const field = random.pick(fields);
      return renumbered(random, sound, { ...field, name: `page ${number} (${name}), ${field.name}` });
    };
    const byPages = (random: Random): ByteChange => {
      const [one, other] = [random.pick(pages), random.pick(pages)];
      const bytes = Buffer.from(sound);
      const target = bytes.subarray((one.number - 1) * pageBytes, one.number * pageBytes);
      if (random.int(2) === 0) target.fill(0);
      else sound.copy(target, 0, (other.number - 1) * pageBytes, other.number * pageBytes);
      return {
        field: `page ${one.number} (${one.name})`,
        change: `zeroed or as page ${other.number}`,
        mustRefuse: false,
        bytes,
      };
    };
    const byBytes = (random: Random): ByteChange => {
      // A file has far more pages of media than of anything else.
      const records = pages.filter((page) => page.name !== 'chunk');
      const { number, name } = random.pick(random.int(4) === 0 ? pages : records);
      return scrambled(random, sound, {
        name: `page ${number} (${name})`,
        at: (number - 1) * pageBytes,
        length: pageBytes,
      });
    };
    const byLength = (random: Random): ByteChange =>
      random.int(2) === 0
        ? truncated(random, sound)
        : {
            field: 'length',
            change: 'a page too many',
            mustRefuse: true,
            bytes: Buffer.concat([sound, Buffer.alloc(pageBytes)]),
          };

    const ways: readonly ((random: Random) => ByteChange | Promise<ByteChange>)[] = [
      bySql,
      byJson,
      byPage,
      bySql,
      (random) => renumbered(random, sound, random.pick(strictFields), true),
      byJson,
      byBytes,
      bySql,
      byPage,
      byLength,
      bySql,
      byPages,
      (random) => renumbered(random, sound, random.pick(looseFields)),
      (random) => (random.int(2) === 0 ? emptied() : ofAnotherKind(random)),
    ];
    return {
      sound: mutant({ field: 'nothing', change: 'none', mustRefuse: false, bytes: sound }),
      draw: async (random, index) => mutant(await ways[index % ways.length]!(random)),
    };
  },
};

/** Which page belongs to which table. */
function pagesOf(
  path: string,
): readonly { number: number; name: string; tree: boolean; interior: boolean }[] {
  const database = new Database(path, { readonly: true });
  const rows = database.prepare('SELECT pageno, name, pagetype FROM dbstat ORDER BY pageno').all() as {
    pageno: number;
    name: string;
    pagetype: string;
  }[];
  database.close();
  return rows.map(({ pageno, name, pagetype }) => ({
    number: pageno,
    name,
    tree: pagetype !== 'overflow',
    interior: pagetype === 'internal',
  }));
}
