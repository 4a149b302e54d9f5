// Bakes a package in a process that may be killed: prints the bytes done, one number a line.
import { bakePackage } from '../../../src-main/engine/weights/bake-package.ts';
import { openPackage } from '../../../src-main/engine/weights/package.ts';

const [source = '', folder = '', precision = 'int8', ...flags] = process.argv.slice(2);
await bakePackage(await openPackage(source), folder, {
  id: 'baked',
  precision: precision as 'int8' | 'int4',
  search: flags.includes('search'),
  mergeLoras: flags.includes('merge'),
  onProgress: ({ doneBytes }) => process.stdout.write(`${doneBytes}\n`),
});
