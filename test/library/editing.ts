// A process that edits a library until it is killed: it says the number of each edit once that is acknowledged.
import { writeSync } from 'node:fs';
import { openDatabase } from '../../src-main/library/database.ts';
import { Store } from '../../src-main/library/store.ts';
import { takeRecord } from './support.ts';

const [folder = '', first = '0'] = process.argv.slice(2);
const store = new Store(await openDatabase(folder));
for (let i = Number(first); ; i++) {
  await store.transact('p', `edit ${i}`, (edit) => {
    edit.update('projects', 'p', (project) => ({ ...project, name: `edit ${i}` }));
    edit.put('takes', takeRecord(`take-${i}`, 'p', { prompt: `number${i}` }));
  });
  writeSync(1, `${i}\n`);
}
