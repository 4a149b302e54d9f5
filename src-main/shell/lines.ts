import type { MessagePortMain } from 'electron';
import { api, type Api } from '../core/contract/api.ts';
import {
  createClient,
  messageBytes,
  portTransport,
  type ChannelClient,
  type PortLike,
  type Transport,
  type TransportListener,
} from '../core/contract/channel.ts';

/** The studio's end of a window's port. */
export function windowTransport(port: MessagePortMain): Transport {
  const like: PortLike = {
    postMessage: (message) => port.postMessage(message),
    addEventListener(
      type: 'message' | 'close' | 'messageerror',
      listener: (event: { data: unknown }) => void,
    ) {
      if (type === 'message') port.on('message', ({ data }) => listener({ data: data as unknown }));
      else if (type === 'close') port.on('close', () => listener({ data: null }));
    },
    start: () => port.start(),
    close: () => port.close(),
  };
  return portTransport(like, messageBytes.server);
}

/** The shell as one more client of the studio, inside the same process. */
export function connectInside(connect: (transport: Transport) => unknown): ChannelClient<Api> {
  const [near, far] = [new End(), new End()];
  near.other = far;
  far.other = near;
  connect(far);
  return createClient(api, near);
}

/** One end of a line without a wire: messages arrive after the current turn, as they would over one. */
class End implements Transport {
  other: End | null = null;
  private listener: TransportListener | null = null;
  private isClosed = false;

  send(message: object): void {
    const { other } = this;
    queueMicrotask(() => {
      if (other?.isClosed === false) other.listener?.onMessage(message);
    });
  }

  listen(listener: TransportListener): void {
    this.listener = listener;
  }

  close(): void {
    for (const end of [this, this.other]) {
      if (end === null || end.isClosed) continue;
      queueMicrotask(() => {
        end.isClosed = true;
        end.listener?.onClose();
      });
    }
  }
}
