import type { Migration } from './migration.ts';

/**
 * Records are JSON; what lists sort and filter by is computed from it by SQLite itself, so that the two cannot
 * disagree. The JSON is each row's last column: a list never reads its overflow pages.
 */
const schema = `
CREATE TABLE projects (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL AS (json_extract(json, '$.name')) STORED,
  created_at TEXT NOT NULL AS (json_extract(json, '$.createdAt')) STORED,
  modified_at TEXT NOT NULL AS (json_extract(json, '$.modifiedAt')) STORED,
  trashed_at TEXT AS (json_extract(json, '$.trashedAt')) STORED,
  width INTEGER NOT NULL AS (json_extract(json, '$.width')) STORED,
  height INTEGER NOT NULL AS (json_extract(json, '$.height')) STORED,
  fps REAL NOT NULL AS (json_extract(json, '$.fps')) STORED,
  clips INTEGER NOT NULL AS (json_array_length(json, '$.clips')) STORED,
  ranges INTEGER NOT NULL AS (json_array_length(json, '$.ranges')) STORED,
  json TEXT NOT NULL
) STRICT;
CREATE INDEX projects_by_time ON projects (trashed_at IS NULL, modified_at, id);
CREATE INDEX projects_by_creation ON projects (trashed_at IS NULL, created_at, id);
CREATE INDEX projects_by_name ON projects (trashed_at IS NULL, name COLLATE NOCASE, id);

CREATE TABLE project_media (
  project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  hash TEXT NOT NULL,
  PRIMARY KEY (project_id, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX project_media_by_hash ON project_media (hash);

CREATE TABLE assets (
  id TEXT PRIMARY KEY,
  hash TEXT NOT NULL UNIQUE AS (json_extract(json, '$.hash')) STORED,
  kind TEXT NOT NULL AS (json_extract(json, '$.kind')) STORED,
  name TEXT NOT NULL AS (json_extract(json, '$.name')) STORED,
  state TEXT NOT NULL AS (json_extract(json, '$.state')) STORED,
  imported_at TEXT NOT NULL AS (json_extract(json, '$.importedAt')) STORED,
  bytes INTEGER NOT NULL AS (json_extract(json, '$.bytes')) STORED,
  json TEXT NOT NULL
) STRICT;
CREATE INDEX assets_by_time ON assets (imported_at, id, kind, state);
CREATE INDEX assets_by_name ON assets (name COLLATE NOCASE, id, kind, state);
CREATE INDEX assets_by_bytes ON assets (bytes, id, kind, state);
CREATE INDEX assets_missing ON assets (id) WHERE state = 'missing';

CREATE TABLE takes (
  id TEXT PRIMARY KEY,
  project_id TEXT NOT NULL AS (json_extract(json, '$.projectId')) STORED
    REFERENCES projects (id) DEFERRABLE INITIALLY DEFERRED,
  range_id TEXT NOT NULL AS (json_extract(json, '$.rangeId')) STORED,
  file_hash TEXT NOT NULL AS (json_extract(json, '$.fileHash')) STORED,
  rating INTEGER NOT NULL AS (json_extract(json, '$.rating')) STORED,
  created_at TEXT NOT NULL AS (json_extract(json, '$.createdAt')) STORED,
  summary TEXT NOT NULL AS (json_object(
    'tags', json -> '$.tags', 'promotedClipId', json -> '$.promotedClipId', 'prompt', json -> '$.prompt',
    'width', json -> '$.width', 'height', json -> '$.height', 'fps', json -> '$.fps',
    'partial', json -> '$.partial')) STORED,
  json TEXT NOT NULL
) STRICT;
CREATE INDEX takes_by_time ON takes (created_at, id, rating);
CREATE INDEX takes_by_project ON takes (project_id, created_at, id, rating);
CREATE INDEX takes_by_range ON takes (project_id, range_id, created_at, id, rating);
CREATE INDEX takes_by_file ON takes (file_hash);

CREATE TABLE take_tags (
  tag TEXT NOT NULL,
  take_id TEXT NOT NULL REFERENCES takes (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  PRIMARY KEY (tag, take_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX take_tags_by_take ON take_tags (take_id);

CREATE TABLE jobs (
  id TEXT PRIMARY KEY,
  project_id TEXT NOT NULL AS (json_extract(json, '$.projectId')) STORED
    REFERENCES projects (id) DEFERRABLE INITIALLY DEFERRED,
  state TEXT NOT NULL AS (json_extract(json, '$.state')) STORED,
  position REAL NOT NULL AS (json_extract(json, '$.position')) STORED,
  json TEXT NOT NULL
) STRICT;
CREATE INDEX jobs_by_project ON jobs (project_id);
CREATE INDEX jobs_by_state ON jobs (state, position, id);

CREATE TABLE history (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  undone INTEGER NOT NULL,
  label TEXT NOT NULL,
  hashes TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  changes TEXT NOT NULL
) STRICT;
CREATE INDEX history_by_project ON history (project_id, undone, seq, bytes);

CREATE TABLE search_entries (
  rowid INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  owner TEXT NOT NULL,
  id TEXT NOT NULL,
  project_id TEXT,
  title TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX search_entries_by_owner ON search_entries (owner, kind, id);
CREATE VIRTUAL TABLE search_index USING fts5(
  name, body, scope, content = '', contentless_delete = 1, prefix = '1 2',
  tokenize = 'unicode61 remove_diacritics 2'
);
`;

export const records: Migration = {
  version: 1,
  name: 'records',
  up: (sqlite) => sqlite.exec(schema),
};
