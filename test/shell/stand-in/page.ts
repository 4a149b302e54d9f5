import { readFileSync } from 'node:fs';
import { runInNewContext } from 'node:vm';
import { EventEmitter } from 'node:events';
import { api, type Api } from '../../../src-main/core/contract/api.ts';
import { portMessage, type Bridge } from '../../../src-main/core/contract/bridge.ts';
import {
  createClient,
  messageBytes,
  portTransport,
  type ChannelClient,
  type PortLike,
} from '../../../src-main/core/contract/channel.ts';
import { ipcHandlers, ipcMain, type BrowserWindow, type MessagePortMain } from './electron.ts';

/** A page as far as the main side can tell: the built preload script runs, and its bridge is used from here. */
export interface Page {
  readonly bridge: Bridge;
  /** Modules that the preload script asked for. */
  readonly required: readonly string[];
  /** Connects to the studio as the page does. */
  connect(): Promise<ChannelClient<Api>>;
}

/** Runs the preload script of a window as Electron would: in a world of its own, with a sandbox's few modules. */
export function openPage(window: BrowserWindow): Page {
  const { webContents } = window;
  const { preload = '' } = window.options.webPreferences ?? {};
  const event = { sender: webContents, senderFrame: webContents.mainFrame };
  const renderer = new EventEmitter();
  webContents.hear = (channel, args, ports) => renderer.emit(channel, { ports }, ...args);
  const ipcRenderer = Object.assign(renderer, {
    send: (channel: string, ...args: unknown[]) => ipcMain.emit(channel, event, ...args),
    invoke: (channel: string, ...args: unknown[]) =>
      Promise.resolve(ipcHandlers.get(channel)!(event, ...args)),
  });
  const exposed = new Map<string, unknown>();
  const required: string[] = [];
  let received: (port: MessagePortMain) => void = () => undefined;
  const modules = {
    electron: {
      contextBridge: { exposeInMainWorld: (name: string, value: unknown) => exposed.set(name, value) },
      ipcRenderer,
      webUtils: { getPathForFile: (file: { path?: string }) => file.path ?? '' },
    },
  };
  runInNewContext(readFileSync(preload, 'utf8'), {
    require: (name: string) => {
      required.push(name);
      return (modules as Record<string, unknown>)[name];
    },
    process: { platform: process.platform },
    exports: {},
    module: { exports: {} },
    window: {
      location: { origin: 'app://pusa' },
      postMessage: (data: unknown, origin: string, ports: MessagePortMain[]) => {
        if (data === portMessage && origin === 'app://pusa') received(ports[0]!);
      },
    },
  });
  const bridge = exposed.get('pusa') as Bridge;
  return {
    bridge,
    required,
    async connect() {
      const port = await new Promise<MessagePortMain>((resolve) => {
        received = resolve;
        bridge.connect();
      });
      const like: PortLike = {
        postMessage: (message) => port.postMessage(message),
        addEventListener: (type: string, listener: (event: { data: unknown }) => void) =>
          void port.on(type, listener),
        start: () => port.start(),
        close: () => port.close(),
      };
      return createClient(api, portTransport(like, messageBytes.client));
    },
  };
}
