import { PusaError } from '../../../src-main/core/errors.ts';

const names: Readonly<Record<string, string>> = {
  avc: 'H.264',
  hevc: 'H.265',
  vp8: 'VP8',
  vp9: 'VP9',
  av1: 'AV1',
  prores: 'ProRes',
};

const soundNames: Readonly<Record<string, string>> = {
  ac3: 'Dolby Digital',
  eac3: 'Dolby Digital Plus',
  flac: 'FLAC',
  mp3: 'MP3',
  vorbis: 'Vorbis',
};

/** A codec as a person knows it; what has no such name keeps its own. */
export function codecName(codec: string | null): string | null {
  if (codec === null) return null;
  const own = codec.replace(/[^\x20-\x7e]/g, '').slice(0, 60);
  return names[own] ?? (own === '' ? null : own);
}

/** The error for a video that this browser has no decoder for. */
export function cannotDecode(name: string, codec: string | null): PusaError {
  return new PusaError(
    'MEDIA_UNSUPPORTED',
    codec === null
      ? `The pictures of “${name}” are in a format that cannot be decoded here.`
      : `“${name}” is coded in ${codec}, which cannot be decoded here.`,
    'Generating and exporting use it all the same; convert it to H.264 or VP9 to play it smoothly.',
  );
}

/** The error for a video whose sound this browser has no decoder for. */
export function cannotHear(name: string, codec: string | null): PusaError {
  return new PusaError(
    'MEDIA_UNSUPPORTED',
    codec === null
      ? `The sound of “${name}” is in a format that cannot be played here.`
      : `The sound of “${name}” is coded in ${soundNames[codec] ?? codec}, which cannot be played here.`,
    'Exporting keeps it all the same; convert it to AAC or Opus to hear it while you work.',
  );
}

/** The error for a file whose pictures cannot be read. */
export function cannotRead(name: string, cause: unknown): PusaError {
  return new PusaError(
    'MEDIA_UNREADABLE',
    `The pictures of “${name}” cannot be read here.`,
    'Check that the file still is in the library and plays elsewhere; import it again if it does not.',
    { cause },
  );
}
