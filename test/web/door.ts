import { request as rawRequest } from 'node:http';
import { WebSocket } from 'ws';
import { api, type Api } from '../../src-main/core/contract/api.ts';
import {
  createClient,
  messageBytes,
  socketTransport,
  type ChannelClient,
} from '../../src-main/core/contract/channel.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** A request with exactly the headers given: fetch would refuse to send a foreign Host or a raw path. */
export function send(
  base: URL,
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
  body?: Buffer,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = rawRequest(
      {
        host: base.hostname,
        port: base.port,
        path,
        method,
        agent: false,
        headers: { host: base.host, ...headers },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString('latin1'),
          }),
        );
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

/** Follows the one-time link. @returns the cookie it gives */
export async function enter(link: string): Promise<string> {
  const base = new URL(link);
  const { status, headers } = await send(base, base.pathname + base.search);
  const cookie = headers['set-cookie']?.[0]?.split(';')[0];
  if (status !== 303 || cookie === undefined) throw new Error(`The link was answered with ${status}.`);
  return cookie;
}

/** What a window of the served page sends with its upgrade. */
export function windowHeaders(base: URL, cookie: string): Record<string, string> {
  return { origin: base.origin, cookie };
}

/** Opens `/socket`. @returns the open socket, or the status of the refusal */
export function dial(
  base: URL,
  headers: Record<string, string>,
  path = '/socket',
): Promise<WebSocket | number> {
  return new Promise((resolve, reject) => {
    const { origin, ...rest } = headers;
    const socket = new WebSocket(`ws://${base.host}${path}`, {
      headers: rest,
      perMessageDeflate: false,
      ...(origin === undefined ? {} : { origin }),
    });
    socket.once('open', () => resolve(socket));
    socket.once('unexpected-response', (request, response) => {
      resolve(response.statusCode ?? 0);
      request.destroy();
    });
    socket.on('error', (error) => reject(error));
  });
}

/** Opens `/socket` as a window does. */
export async function dialIn(base: URL, cookie: string): Promise<WebSocket> {
  const socket = await dial(base, windowHeaders(base, cookie));
  if (typeof socket === 'number') throw new Error(`The socket was refused with ${socket}.`);
  return socket;
}

/** The contract over an open socket. */
export function clientOver(socket: WebSocket): ChannelClient<Api> {
  return createClient(
    api,
    socketTransport(
      {
        send: (bytes) => socket.send(bytes),
        onMessage: (listener) => socket.on('message', (data) => listener(data)),
        onClose: (listener) => socket.on('close', () => listener()),
        close: () => socket.close(),
      },
      messageBytes.client,
    ),
  );
}

/** Whether the studio behind a door answers somebody new. */
export async function answers(base: URL, cookie: string): Promise<boolean> {
  const client = clientOver(await dialIn(base, cookie));
  try {
    const { total } = await client.api.projects.list({
      cursor: null,
      limit: 1,
      trashed: false,
      sort: 'name',
    });
    return total >= 0;
  } finally {
    client.close();
  }
}
