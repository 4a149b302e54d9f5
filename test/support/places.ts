import { dirname } from 'node:path';

/** The project's root folder. */
export const root = dirname(dirname(import.meta.dirname));
