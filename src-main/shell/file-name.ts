import { basename } from 'node:path';

/** A name as a file's: nothing that a system reads as a path or does not take. */
export function fileName(name: string): string {
  const plain = basename(name)
    .replace(/[\p{Cc}<>:"/\\|?*]/gu, ' ')
    .replace(/[. ]+$/, '')
    .trim()
    .slice(0, 100);
  return plain === '' || /^(con|prn|aux|nul|com\d|lpt\d)$/i.test(plain) ? 'Pusa Studio' : plain;
}
