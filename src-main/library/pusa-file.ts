/**
 * `.pusa` files, version 2: one SQLite database with a project, its settings and, by choice, its media and takes.
 * A file is written whole and never changed in place.
 */
export { readPusaFile, type PusaFile } from './pusa-file-read.ts';
export { writePusaFile, type MediaSource, type PusaFileContents } from './pusa-file-write.ts';
export {
  limits as pusaFileLimits,
  type FileTake,
  type Settings,
  type SettingValue,
  type TakeEntry,
} from './pusa-file-format.ts';
