import { fork } from 'node:child_process';

/** The engine's end of the line to its host. Messages are structured clones: typed arrays stay binary. */
export interface Port {
  send(message: unknown): void;
  onMessage(listener: (message: unknown) => void): void;
  /** The host is gone. */
  onClose(listener: () => void): void;
}

/** The host's end: an engine process. */
export interface EngineChild {
  readonly pid: number | undefined;
  send(message: unknown): void;
  onMessage(listener: (message: unknown) => void): void;
  /** Called once, also when the process could not be started. */
  onExit(listener: (exit: EngineExit) => void): void;
  /** What the process writes to its output, in pieces. */
  onOutput(listener: (text: string) => void): void;
  /** Ends the process at once (SIGKILL), also in the middle of a run that blocks it. */
  kill(): void;
}

/** How a process ended, as far as the system says. */
export interface EngineExit {
  readonly code: number | null;
  readonly signal: string | null;
}

/** Starts an engine process from its entry file. */
export type ForkEngine = (entry: string) => EngineChild;

export interface NodeForkOptions {
  /** The Node to run; default this process's. */
  readonly execPath?: string;
  readonly execArgv?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** An engine as a Node child process (`serve`, command line, tests). */
export function nodeFork(options: NodeForkOptions = {}): ForkEngine {
  return (entry) => {
    const child = fork(entry, [], {
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      execArgv: [...(options.execArgv ?? [])],
      ...(options.execPath === undefined ? {} : { execPath: options.execPath }),
      ...(options.env === undefined ? {} : { env: options.env }),
    });
    return {
      pid: child.pid,
      // A message to a process that just ended is lost; its end is told by onExit.
      send: (message) => void child.send(message as object, () => undefined),
      onMessage: (listener) => void child.on('message', listener),
      onExit(listener) {
        let told = false;
        const tell = (code: number | null, signal: string | null): void => {
          if (!told) listener({ code, signal });
          told = true;
        };
        child.on('exit', tell);
        child.on('error', () => {
          if (child.pid === undefined) tell(null, null);
        });
      },
      onOutput(listener) {
        for (const stream of [child.stdout, child.stderr]) {
          stream?.setEncoding('utf8').on('data', (text: string) => listener(text));
        }
      },
      kill: () => void child.kill('SIGKILL'),
    };
  };
}

/** The part of Electron's `process.parentPort` that is used; typed here so that nothing imports Electron. */
interface ParentPort {
  postMessage(message: unknown): void;
  on(event: 'message', listener: (event: { data: unknown }) => void): void;
}

/** Opens the line of a process that was started as an engine; null when it was started in another way. */
export function openPort(): Port | null {
  const { parentPort } = process as unknown as { readonly parentPort?: ParentPort };
  if (parentPort !== undefined) {
    return {
      send: (message) => parentPort.postMessage(message),
      onMessage: (listener) => parentPort.on('message', ({ data }) => listener(data)),
      // Electron ends its utility processes itself.
      onClose: () => undefined,
    };
  }
  if (process.send === undefined) return null;
  return {
    send(message) {
      if (process.connected) process.send!(message, undefined, undefined, () => undefined);
    },
    onMessage: (listener) => void process.on('message', listener),
    onClose: (listener) => void process.on('disconnect', listener),
  };
}
