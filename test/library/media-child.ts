import { appendFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openMediaStore } from '../../src-main/library/media-store.ts';

/**
 * A process that works on a store and is killed on the way: by itself at a given piece of data or callback, or by its
 * parent. Arguments: what to do, the store's folder, where from or to, the file for records, when to end.
 */
const [mode, folder, other, records, killAt] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
];

/** `piece:7` is the 7th piece of data, `before:2` and `after:2` are around writing the second record. */
let left = Number(killAt.split(':')[1] ?? 0);
function end(at: 'piece' | 'before' | 'after'): void {
  if (killAt.startsWith(at) && --left === 0) process.kill(process.pid, 'SIGKILL');
}

process.stdout.write('ready\n');
if (mode === 'import') {
  const store = await openMediaStore(folder);
  const sources = readdirSync(other).sort();
  // Three at a time, each source twice: equal bytes meet.
  const queue = [...sources, ...sources].map((name) => join(other, name));
  const work = async (): Promise<void> => {
    for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
      await store.import(path, {
        onBytes: () => end('piece'),
        record: ({ hash }) => {
          end('before');
          appendFileSync(records, `${hash}\n`, { flush: true });
          end('after');
        },
      });
    }
  };
  await Promise.all([work(), work(), work()]);
} else {
  const store = await openMediaStore(folder, {
    remember: (moved) => {
      end('before');
      writeFileSync(records, moved, { flush: true });
      end('after');
    },
  });
  await store.moveTo(other, { onBytes: () => end('piece') });
}
process.stdout.write('done\n');
