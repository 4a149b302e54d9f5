import { PusaError, toPusaError } from '../../errors.ts';
import type { ErrorRecord } from '../job.ts';

/** What does not fit the contract, whichever end is to blame. `what` is a sentence. */
export function violation(what: string): PusaError {
  return new PusaError(
    'CONTRACT_VIOLATION',
    what,
    'Reload the window, or start the application again; if it happens twice, report it with the log.',
  );
}

/** The other end is gone, or was never there. */
export function connectionClosed(): PusaError {
  return new PusaError(
    'CONNECTION_CLOSED',
    'The connection to the studio was closed before it answered.',
    'Reload the window; everything saved is still there.',
  );
}

/** The person, or the code that asked, does not want the answer any more. */
export function cancelled(): PusaError {
  return new PusaError('CANCELLED', 'The request was cancelled.', 'Ask again when you need it.');
}

/** Longest text of an error that crosses. */
const maxText = 4000;

/** An error as it crosses: code, message and remedy; never a stack. */
export function toErrorRecord(thrown: unknown): ErrorRecord {
  const { code, message, remedy } = toPusaError(thrown);
  return { code, message: message.slice(0, maxText), remedy: remedy.slice(0, maxText) };
}

/** The error at the other side. */
export function fromErrorRecord({ code, message, remedy }: ErrorRecord): PusaError {
  return new PusaError(code, message, remedy);
}
