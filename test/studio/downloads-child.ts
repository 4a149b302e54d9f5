import { downloadFile } from '../../src-main/studio/downloads/download-file.ts';

/** Downloads one file until it is killed: `BASE REPOSITORY PATH TARGET SHA256`. Says how far it is. */
const [base = '', repository = '', path = '', target = '', sha256 = ''] = process.argv.slice(2);
await downloadFile({ base, token: null }, { repository, path, bytes: null, sha256 }, target, {
  signal: new AbortController().signal,
  onBytes: (done) => process.stdout.write(`${done}\n`),
});
process.stdout.write('whole\n');
