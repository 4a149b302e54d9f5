import { open, stat, type FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { PusaError } from '../core/errors.ts';

/** What a file's first bytes say it is. The name's extension is never asked. */
export type Content =
  | { readonly is: 'picture'; readonly format: 'png' | 'jpeg' | 'webp' | 'gif' | 'tiff' | 'avif' }
  | {
      readonly is: 'video';
      /** The demuxer's name in ffmpeg: forced, so that a file never chooses one that opens other files. */
      readonly demuxer: 'mov' | 'matroska' | 'avi' | 'flv' | 'asf' | 'mpegts' | 'mpeg' | 'ogg';
    }
  | { readonly is: 'other'; readonly what: string; readonly remedy: string };

/** A regular file that is there, is not empty, and what it holds. */
export interface SniffedFile {
  readonly bytes: number;
  readonly content: Content;
}

/**
 * Looks at a file.
 * @throws PusaError FILE_NOT_FOUND, FILE_EMPTY, MEDIA_UNREADABLE (no permission), MEDIA_UNSUPPORTED (a device, a pipe)
 */
export async function sniffFile(path: string): Promise<SniffedFile> {
  const name = basename(path);
  const info = await stat(path).catch((cause: unknown) => {
    throw cannotOpen(path, cause);
  });
  if (!info.isFile()) {
    throw new PusaError(
      'MEDIA_UNSUPPORTED',
      `“${name}” is not a file but ${info.isDirectory() ? 'a folder' : 'a device or a pipe'}.`,
      'Choose a picture, a video or a folder of pictures.',
    );
  }
  if (info.size === 0) {
    throw new PusaError('FILE_EMPTY', `“${name}” is empty.`, 'Copy or download the file again.');
  }
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw cannotOpen(path, cause);
  });
  try {
    const head = await readAt(file, 0, 4096);
    const content = sniffBytes(head);
    if (content.is === 'picture' && content.format === 'tiff' && (await isCameraRaw(file, head))) {
      return { bytes: info.size, content: raw };
    }
    return { bytes: info.size, content };
  } finally {
    await file.close();
  }
}

/** The error for a path that cannot be opened for reading. */
export function cannotOpen(path: string, cause: unknown): PusaError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new PusaError('FILE_NOT_FOUND', `There is no file “${path}”.`, 'Check the path and try again.', {
      cause,
    });
  }
  const reason =
    code === 'EACCES' || code === 'EPERM' ? 'access to it is refused' : 'the system reports an error';
  return new PusaError(
    'MEDIA_UNREADABLE',
    `“${basename(path)}” cannot be opened: ${reason}.`,
    'Check the permissions of the file and of its folder, and that the disk is in order.',
    { cause },
  );
}

/** What the first bytes (up to 4096 are of use) of a file say. */
export function sniffBytes(head: Uint8Array): Content {
  const text = (from: number, to: number): string => latin1(head.subarray(from, to));
  if (text(0, 8) === '\x89PNG\r\n\x1a\n') return { is: 'picture', format: 'png' };
  if (text(0, 3) === '\xff\xd8\xff') return { is: 'picture', format: 'jpeg' };
  if (text(0, 4) === 'GIF8') return { is: 'picture', format: 'gif' };
  if (text(0, 4) === 'RIFF') {
    if (text(8, 12) === 'WEBP') return { is: 'picture', format: 'webp' };
    if (text(8, 12) === 'AVI ') return { is: 'video', demuxer: 'avi' };
    if (text(8, 12) === 'WAVE') return sound;
  }
  if (text(4, 8) === 'ftyp') return sniffBrands(head, text);
  if (['moov', 'mdat', 'wide', 'free', 'skip', 'pnot'].includes(text(4, 8))) {
    return { is: 'video', demuxer: 'mov' };
  }
  if (text(0, 4) === '\x1a\x45\xdf\xa3') return { is: 'video', demuxer: 'matroska' };
  if (text(0, 4) === 'FLV\x01') return { is: 'video', demuxer: 'flv' };
  if (text(0, 4) === '\x30\x26\xb2\x75') return { is: 'video', demuxer: 'asf' };
  if (text(0, 4) === 'OggS') return { is: 'video', demuxer: 'ogg' };
  if (text(0, 4) === '\x00\x00\x01\xba') return { is: 'video', demuxer: 'mpeg' };
  if (head[0] === 0x47 && head[188] === 0x47 && head[376] === 0x47) {
    return { is: 'video', demuxer: 'mpegts' };
  }
  // TIFF's two byte orders; CR2 is a TIFF that says so.
  if (text(0, 4) === 'II*\0' || text(0, 4) === 'MM\0*' || text(0, 4) === 'II+\0' || text(0, 4) === 'MM\0+') {
    return text(8, 10) === 'CR' ? raw : { is: 'picture', format: 'tiff' };
  }
  return sniffOther(head, text);
}

const convert = 'Convert it to PNG or JPEG and add that.';
const raw = unsupported('a camera raw picture', 'Develop it in a photo editor and export PNG, TIFF or JPEG.');
const sound = unsupported('a sound file', 'Add a picture or a video.');

function unsupported(what: string, remedy: string): Content & { is: 'other' } {
  return { is: 'other', what, remedy };
}

type TextAt = (from: number, to: number) => string;

/** Files of the ISO base media family tell their kind by brands: one major, then compatible ones. */
function sniffBrands(head: Uint8Array, text: TextAt): Content {
  const size = Math.min(new DataView(head.buffer, head.byteOffset).getUint32(0), head.length, 256);
  const brands = [text(8, 12)];
  for (let at = 16; at + 4 <= size; at += 4) brands.push(text(at, at + 4));
  const has = (...names: string[]): boolean => names.some((name) => brands.includes(name));
  if (has('avif', 'avis')) return { is: 'picture', format: 'avif' };
  if (has('heic', 'heix', 'heim', 'heis', 'hevc', 'hevx', 'mif1', 'msf1')) {
    return unsupported(
      'a HEIC picture',
      'Export it as JPEG or PNG (on an iPhone: Files, or “Most Compatible”).',
    );
  }
  if (has('crx ')) return raw;
  if (has('M4A ', 'M4B ') && !has('mp42', 'isom', 'M4V ')) return sound;
  return { is: 'video', demuxer: 'mov' };
}

/** Names what cannot be used, so that the person learns what the file is. */
function sniffOther(head: Uint8Array, text: TextAt): Content {
  if (text(0, 4) === '8BPS') {
    return unsupported('a Photoshop document', 'Export it from Photoshop as PNG or JPEG.');
  }
  if (
    text(0, 15) === 'FUJIFILMCCD-RAW' ||
    ['IIRO', 'IIRS', 'MMOR', 'IIU\0', 'FOVb', '\0MRM'].includes(text(0, 4))
  ) {
    return raw;
  }
  if (text(0, 2) === '\xff\x0a' || text(4, 12) === 'JXL \r\n\x87\n')
    return unsupported('a JPEG XL picture', convert);
  if (text(4, 8) === 'jP  ' || text(0, 4) === '\xff\x4f\xff\x51')
    return unsupported('a JPEG 2000 picture', convert);
  if (text(0, 4) === '\x76\x2f\x31\x01') return unsupported('an OpenEXR picture', convert);
  if (text(0, 10) === '#?RADIANCE') return unsupported('a Radiance HDR picture', convert);
  if (text(0, 2) === 'BM' && head[6] === 0 && head[7] === 0) return unsupported('a BMP picture', convert);
  if (text(0, 4) === 'DDS ') return unsupported('a DDS texture', convert);
  if (text(0, 4) === '\0\0\x01\0') return unsupported('an icon file', convert);
  if (text(0, 5) === '%PDF-') return unsupported('a PDF document', 'Export the page as PNG.');
  if (text(0, 3) === 'ID3' || text(0, 4) === 'fLaC') return sound;
  if (text(0, 4) === 'PK\x03\x04') return unsupported('a ZIP archive', 'Unpack it and add the files inside.');
  if (text(0, 15) === 'SQLite format 3') {
    return unsupported('a database, maybe a project', 'Open it as a project instead of adding it as media.');
  }
  const opening = text(0, 1024);
  if (/<svg[\s>]/i.test(opening))
    return unsupported('an SVG drawing', 'Export it as PNG at the size you need.');
  if (/^[\t\n\r\x20-\x7e\x80-\xff]*$/.test(latin1(head))) {
    return unsupported('a text file', 'Choose a picture or a video.');
  }
  return unsupported(
    'of no kind known here',
    'Use PNG, JPEG, WebP, AVIF, GIF or TIFF for pictures; mp4, mov, webm or mkv for video.',
  );
}

/**
 * Whether a TIFF is a camera's raw file: DNG carries a version tag; NEF, ARW and their kin keep a reduced picture
 * in the first directory and the sensor's data in sub-directories.
 */
async function isCameraRaw(file: FileHandle, head: Uint8Array): Promise<boolean> {
  const little = head[0] === 0x49;
  const view = (bytes: Uint8Array): DataView =>
    new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (head.length < 8 || view(head).getUint16(2, little) !== 42) return false;
  const directory = await readAt(file, view(head).getUint32(4, little), 2 + 12 * 128);
  if (directory.length < 2) return false;
  const entries = view(directory);
  const count = Math.min(entries.getUint16(0, little), Math.floor((directory.length - 2) / 12));
  let reduced = false;
  let subDirectories = false;
  for (let entry = 0; entry < count; entry++) {
    const at = 2 + 12 * entry;
    const tag = entries.getUint16(at, little);
    if (tag === 50_706) return true; // DNGVersion
    if (tag === 254) reduced = (entries.getUint32(at + 8, little) & 1) === 1; // NewSubfileType
    if (tag === 330) subDirectories = true; // SubIFDs
  }
  return reduced && subDirectories;
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Uint8Array> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, position);
  return buffer.subarray(0, bytesRead);
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
