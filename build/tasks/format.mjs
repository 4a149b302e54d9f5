import { tool } from './support.mjs';

process.exit(tool('prettier/bin/prettier.cjs', ['--write', '--log-level', 'warn', '.']));
