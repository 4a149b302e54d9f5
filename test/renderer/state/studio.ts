import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import {
  messageBytes,
  portTransport,
  type PortLike,
  type Transport,
} from '../../../src-main/core/contract/channel.ts';
import { openStudio, type Studio } from '../../../src-main/studio/studio.ts';
import { Connection } from '../../../src-renderer/src/state/connection.ts';
import { Session } from '../../../src-renderer/src/state/session.svelte.ts';

/** A real studio in a folder of its own, and windows at its end of the line. */
export class TestStudio {
  readonly studio: Studio;
  readonly #folder: string;
  readonly #connections: Connection[] = [];
  readonly #servers: { close(): void }[] = [];

  private constructor(studio: Studio, folder: string) {
    this.studio = studio;
    this.#folder = folder;
  }

  static async open(): Promise<TestStudio> {
    const folder = await mkdtemp(join(tmpdir(), 'pusa-window-'));
    return new TestStudio(await openStudio({ dataFolder: folder, samples: false }), folder);
  }

  /** A new line to the studio. */
  dial(): Promise<Transport> {
    const { port1, port2 } = new MessageChannel();
    this.#servers.push(this.studio.connect(portTransport(port1 as unknown as PortLike, messageBytes.server)));
    return Promise.resolve(portTransport(port2 as unknown as PortLike, messageBytes.client));
  }

  connection(dial: () => Promise<Transport> = () => this.dial()): Connection {
    const connection = new Connection({ dial, pauses: [1] });
    this.#connections.push(connection);
    return connection;
  }

  session(): Session {
    return new Session(this.connection());
  }

  /** The studio hangs up on every window; windows may call again. */
  hangUp(): void {
    for (const server of this.#servers.splice(0)) server.close();
  }

  async close(): Promise<void> {
    for (const connection of this.#connections) connection.close();
    await this.studio.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
