import { utilityProcess } from 'electron';
import type { ForkEngine } from '../engine/transport.ts';

/** The engine as a utility process of Electron: a sandboxed Node of its own, without `ELECTRON_RUN_AS_NODE`. */
export const utilityFork: ForkEngine = (entry) => {
  const child = utilityProcess.fork(entry, [], { serviceName: 'Pusa Studio Engine', stdio: 'pipe' });
  /** What was said before the process was there to hear it. */
  let waiting: unknown[] | null = [];
  let ended = false;
  child.once('spawn', () => {
    for (const message of waiting ?? []) child.postMessage(message);
    waiting = null;
  });
  return {
    get pid() {
      return child.pid;
    },
    send(message) {
      if (ended) return;
      if (waiting === null) child.postMessage(message);
      else waiting.push(message);
    },
    onMessage: (listener) => void child.on('message', (message: unknown) => listener(message)),
    onExit(listener) {
      child.once('exit', (code) => {
        ended = true;
        listener({ code, signal: null });
      });
    },
    onOutput(listener) {
      for (const stream of [child.stdout, child.stderr]) {
        stream?.setEncoding('utf8').on('data', (text: string) => listener(text));
      }
    },
    kill() {
      // Electron asks politely, which a run that blocks its thread does not hear.
      if (child.pid === undefined) child.kill();
      else {
        try {
          process.kill(child.pid, 'SIGKILL');
        } catch {
          child.kill();
        }
      }
    },
  };
};
