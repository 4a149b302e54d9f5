/** Gives a Node child the `process.parentPort` that Electron gives a utility process. */
import { EventEmitter } from 'node:events';

const port = new EventEmitter();
const early: unknown[] = [];
process.on('message', (data) => {
  if (port.listenerCount('message') === 0) early.push(data);
  else port.emit('message', { data, ports: [] });
});
port.on('newListener', () =>
  setImmediate(() => {
    for (const data of early.splice(0)) port.emit('message', { data, ports: [] });
  }),
);
process.on('disconnect', () => process.exit());
Object.defineProperty(process, 'parentPort', {
  value: Object.assign(port, { postMessage: (message: unknown) => process.send!(message) }),
});
