import { api, type Api } from '../../../src-main/core/contract/api.ts';
import { portMessage, type Bridge } from '../../../src-main/core/contract/bridge.ts';
import {
  createClient,
  messageBytes,
  portTransport,
  socketTransport,
  type ByteSocket,
  type ChannelClient,
  type Transport,
} from '../../../src-main/core/contract/channel.ts';
import { PusaError } from '../../../src-main/core/errors.ts';

declare global {
  interface Window {
    /** Only in Electron. */
    readonly pusa?: Bridge;
  }
}

/** What only the desktop can do; undefined in a browser. */
export const bridge = (): Bridge | undefined => (typeof window === 'undefined' ? undefined : window.pusa);

/** `refused`: the studio speaks another version; the page has to be loaded anew. */
export type ConnectionStatus = 'connecting' | 'open' | 'lost' | 'refused';

export interface ConnectionOptions {
  /** Opens a line; it can be written to at once. Rejects when there is nobody. */
  readonly dial: () => Promise<Transport>;
  /** Milliseconds to wait before each try; the last is for all that follow. */
  readonly pauses?: readonly number[];
  readonly onError?: (error: unknown) => void;
}

type Client = ChannelClient<Api>;
interface Watch {
  /** Listens on a line. @returns what ends the listening */
  readonly begin: (client: Client) => () => void;
  stop: (() => void) | null;
}

/**
 * A client that outlives its lines: when one is lost it opens the next, and whoever listens goes on listening. Calls
 * made before the first line is open wait for it; calls made while it is lost fail at once with CONNECTION_CLOSED.
 */
export class Connection implements Client {
  readonly api: Client['api'];
  readonly closed: Promise<PusaError>;
  readonly #options: ConnectionOptions;
  readonly #watches = new Set<Watch>();
  readonly #listeners = new Set<(status: ConnectionStatus) => void>();
  #client: Client | null = null;
  #status: ConnectionStatus = 'connecting';
  #first!: (client: Client | null) => void;
  readonly #opened: Promise<Client | null>;
  #settleClosed!: (reason: PusaError) => void;
  #ended = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wake: (() => void) | null = null;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#opened = new Promise((resolve) => (this.#first = resolve));
    this.closed = new Promise((resolve) => (this.#settleClosed = resolve));
    const domains: Record<string, Record<string, unknown>> = {};
    for (const method of Object.keys(api.methods) as (keyof Api['methods'])[]) {
      const [domain = '', verb = ''] = method.split('.');
      (domains[domain] ??= {})[verb] = (...given: [never, never]) => this.call(method, ...given);
    }
    // Made of the contract's own names, as `createClient` makes them.
    this.api = domains as unknown as Client['api'];
    void this.#keepOpen();
  }

  get status(): ConnectionStatus {
    return this.#status;
  }

  /** @returns what ends the listening */
  onStatus(listener: (status: ConnectionStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  readonly call: Client['call'] = async (method, input, ...options) => {
    const client = this.#client ?? (this.#status === 'connecting' ? await this.#opened : null);
    if (client === null) throw lost();
    return client.call(method, input, ...options);
  };

  readonly on: Client['on'] = (event, listener) => {
    const watch: Watch = { begin: (client) => client.on(event, listener), stop: null };
    if (this.#client !== null) watch.stop = watch.begin(this.#client);
    this.#watches.add(watch);
    return () => {
      this.#watches.delete(watch);
      watch.stop?.();
    };
  };

  /** Tries now instead of after the pause. */
  retry(): void {
    this.#wake?.();
  }

  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#client?.close();
    this.#first(null);
    this.#wake?.();
    this.#settleClosed(lost());
  }

  async #keepOpen(): Promise<void> {
    const pauses = this.#options.pauses ?? [250, 500, 1000, 2000, 5000];
    for (let failures = 0; !this.#ended;) {
      const reason = await this.#openOnce(() => (failures = 0));
      // It may have been closed meanwhile.
      // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition
      if (this.#ended) return;
      if (reason.code === 'CONTRACT_VIOLATION') {
        this.#tell('refused');
        return;
      }
      if (this.#status === 'open' || failures >= 2) this.#tell('lost');
      const pause = pauses[Math.min(failures, pauses.length - 1)] ?? 1000;
      failures++;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.#timer = setTimeout(resolve, pause);
      });
      clearTimeout(this.#timer);
    }
  }

  /** One line from its opening to its end. @returns why it ended */
  async #openOnce(onOpen: () => void): Promise<PusaError> {
    let client: Client;
    try {
      const transport = await this.#options.dial();
      client = createClient(api, transport, { onError: (error) => this.#options.onError?.(error) });
    } catch {
      return lost();
    }
    if (this.#ended) client.close();
    else {
      onOpen();
      this.#client = client;
      for (const watch of this.#watches) watch.stop = watch.begin(client);
      this.#first(client);
      this.#tell('open');
    }
    const reason = await client.closed;
    this.#client = null;
    for (const watch of this.#watches) watch.stop = null;
    return reason;
  }

  #tell(status: ConnectionStatus): void {
    if (status === this.#status) return;
    this.#status = status;
    if (status !== 'open') this.#first(null);
    for (const listener of this.#listeners) listener(status);
  }
}

function lost(): PusaError {
  return new PusaError(
    'CONNECTION_CLOSED',
    'The connection to the studio is gone.',
    'Wait until it is back, or start the application again; nothing saved is lost.',
  );
}

/** A line to the studio that served this page, or to Electron's main process. */
export function dialStudio(): Promise<Transport> {
  const desktop = bridge();
  return desktop === undefined ? dialSocket(new URL('/socket', location.href)) : dialPort(desktop);
}

function dialPort(desktop: Bridge): Promise<Transport> {
  return new Promise((resolve) => {
    const hear = (event: MessageEvent): void => {
      const [port] = event.ports;
      if (event.source !== window || event.data !== portMessage || port === undefined) return;
      window.removeEventListener('message', hear);
      resolve(portTransport(port, messageBytes.client));
    };
    window.addEventListener('message', hear);
    desktop.connect();
  });
}

function dialSocket(address: URL): Promise<Transport> {
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(address);
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('open', () => resolve(socketTransport(byteSocket(socket), messageBytes.client)), {
      once: true,
    });
    socket.addEventListener('close', () => reject(lost()), { once: true });
  });
}

function byteSocket(socket: WebSocket): ByteSocket {
  return {
    send: (bytes) => {
      // A socket that is closing says so itself; nothing more goes out.
      if (socket.readyState === WebSocket.OPEN) socket.send(bytes as Uint8Array<ArrayBuffer>);
    },
    onMessage: (listener) =>
      socket.addEventListener('message', ({ data }: MessageEvent<unknown>) =>
        listener(data instanceof ArrayBuffer ? new Uint8Array(data) : data),
      ),
    onClose: (listener) => socket.addEventListener('close', () => listener(), { once: true }),
    close: () => socket.close(),
    bufferedBytes: () => socket.bufferedAmount,
  };
}
