/**
 * Every failure a person can meet. A code names the kind (stable, for scripts and tests), the message says what
 * happened and the remedy what to do next. Both are whole sentences; a stack trace never reaches a person.
 */
export const errorCodes = [
  // What a person drew on the timeline.
  'RANGE_LENGTH',
  'MARK_INVALID',
  'FIXED_WITHOUT_SOURCE',
  'NO_SOURCE_AT_ALL',
  'SAMPLER_INVALID',
  'SIZE_INVALID',
  'PRESET_INVALID',
  'EDIT_INVALID',
  'TRACK_LOCKED',
  // Files from outside.
  'FILE_NOT_FOUND',
  'FILE_EMPTY',
  'FILE_TOO_LARGE',
  'FILE_UNREADABLE',
  'MEDIA_UNREADABLE',
  'MEDIA_UNSUPPORTED',
  'MEDIA_DIFFERS',
  'MEDIA_FOLDER_MISSING',
  'MEDIA_FOLDER_INVALID',
  'FFMPEG_MISSING',
  'PROJECT_INVALID',
  'PROJECT_TOO_NEW',
  'CHECKPOINT_INVALID',
  'CHECKPOINT_WRONG_FAMILY',
  'CHECKPOINT_INCOMPLETE',
  'LORA_MISMATCH',
  'TOKENIZER_INVALID',
  'MODEL_NOT_FOUND',
  'MODEL_CANNOT',
  'MODEL_BUSY',
  // What comes over the network.
  'DOWNLOAD_FAILED',
  'DOWNLOAD_REFUSED',
  'DOWNLOAD_DAMAGED',
  // The machine.
  'DISK_FULL',
  'WRITE_FAILED',
  'OUT_OF_MEMORY',
  'PROVIDER_UNAVAILABLE',
  'ENGINE_CRASHED',
  'ENGINE_RESTARTED',
  'ENGINE_PROTOCOL',
  'CONTRACT_VIOLATION',
  'CONNECTION_CLOSED',
  // The job.
  'JOB_INVALID',
  'JOB_MISMATCH',
  'JOB_BUSY',
  'CANCELLED',
  'OUTPUT_UNSUPPORTED',
  'USAGE',
  // The library.
  'LIBRARY_BUSY',
  'LIBRARY_DAMAGED',
  'LIBRARY_TOO_NEW',
  'RECORD_NOT_FOUND',
  'RECORD_INVALID',
  'UNDO_IMPOSSIBLE',
  // Ours.
  'GRAPH_INVALID',
  'INTERNAL',
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** An error that may be shown: see {@link errorCodes}. `cause` keeps the technical origin for logs. */
export class PusaError extends Error {
  override readonly name = 'PusaError';
  readonly code: ErrorCode;
  /** What to do next, as one sentence. */
  readonly remedy: string;

  constructor(code: ErrorCode, message: string, remedy: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.remedy = remedy;
  }
}

/** Turns anything thrown into a {@link PusaError}; what is not ours becomes INTERNAL with its message kept. */
export function toPusaError(thrown: unknown): PusaError {
  if (thrown instanceof PusaError) return thrown;
  const text = (thrown instanceof Error ? thrown.message : String(thrown)).replace(/\.$/, '');
  if (isNodeError(thrown)) {
    if (thrown.code === 'ENOSPC' || thrown.code === 'EDQUOT') {
      return new PusaError(
        'DISK_FULL',
        'The disk is full.',
        'Free some space and resume; nothing saved is lost.',
        {
          cause: thrown,
        },
      );
    }
    const what = 'path' in thrown && typeof thrown.path === 'string' ? `"${thrown.path}"` : null;
    if (thrown.code === 'ENOENT') {
      return new PusaError(
        'FILE_NOT_FOUND',
        what === null ? `A file is missing: ${text}.` : `${what} is not there.`,
        'Check the path and try again.',
        { cause: thrown },
      );
    }
    if (thrown.code === 'EACCES' || thrown.code === 'EPERM' || thrown.code === 'EROFS') {
      return new PusaError(
        'WRITE_FAILED',
        what === null ? `Access was refused: ${text}.` : `The system refuses access to ${what}.`,
        'Choose another place, or give yourself the right to read and write there.',
        { cause: thrown },
      );
    }
    if (thrown.code === 'ENOTDIR' || thrown.code === 'EEXIST') {
      return new PusaError(
        'WRITE_FAILED',
        `There is a file where a folder is needed${what === null ? '' : `: ${what}`}.`,
        'Choose another place, or move that file away.',
        { cause: thrown },
      );
    }
  }
  // What V8 says where the system gives no more memory for an array.
  if (thrown instanceof RangeError && text === 'Array buffer allocation failed') {
    return new PusaError(
      'OUT_OF_MEMORY',
      'The memory ran out.',
      'Choose a smaller size or fewer frames, or close other programs.',
      { cause: thrown },
    );
  }
  return new PusaError(
    'INTERNAL',
    `Something unexpected went wrong: ${text}.`,
    'Try again; if it happens twice, report it with the log.',
    { cause: thrown },
  );
}

function isNodeError(thrown: unknown): thrown is Error & { code: string } {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string';
}
