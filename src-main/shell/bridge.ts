import {
  ipcMain,
  MessageChannelMain,
  shell,
  type BrowserWindow,
  type IpcMainEvent,
  type IpcMainInvokeEvent,
} from 'electron';
import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { bridgeChannels as channels, chooseOpenKinds, chooseSaveKinds } from '../core/contract/bridge.ts';
import { idSchema } from '../core/contract/project.ts';
import { PusaError } from '../core/errors.ts';
import { chooseOpen, chooseSave } from './dialogs.ts';
import { isTrusted } from './guard.ts';
import { windowTransport } from './lines.ts';
import type { Texts } from './texts.ts';
import type { Transport } from '../core/contract/channel.ts';

export interface BridgeHost {
  /** The window, while there is one. */
  window(): BrowserWindow | null;
  /** Makes the studio answer at a transport. */
  connect(transport: Transport): void;
  /** The page has begun, or begun anew: it can be told things. */
  pageBegan(window: BrowserWindow): void;
  startDrag(window: BrowserWindow, takeId: string): Promise<void>;
  texts(): Texts;
  log(thrown: unknown): void;
}

const chooseOpenSchema = z.strictObject({ kind: z.enum(chooseOpenKinds) });
const chooseSaveSchema = z.strictObject({ kind: z.enum(chooseSaveKinds), name: z.string().max(255) });
const absolutePath = z.string().min(1).max(4096).refine(isAbsolute);
const title = z.string().max(200).nullable();

/** Answers the preload's messages: only our own page's, and only what the bridge says. */
export function registerBridge(host: BridgeHost): void {
  /** Whoever else asks is not answered, but noted. */
  const windowOf = (event: IpcMainEvent | IpcMainInvokeEvent): BrowserWindow | null => {
    const window = host.window();
    if (window?.webContents === event.sender && isTrusted(event.senderFrame)) return window;
    host.log(new Error('A message that did not come from the window was refused.'));
    return null;
  };
  const hear = <T>(
    channel: string,
    schema: z.ZodType<T>,
    act: (window: BrowserWindow, value: T, event: IpcMainEvent) => void,
  ): void => {
    ipcMain.on(channel, (event, value: unknown) => {
      const window = windowOf(event);
      if (window === null) return;
      const parsed = schema.safeParse(value);
      if (parsed.success) act(window, parsed.data, event);
      else host.log(new Error(`A message on ${channel} was not understood.`));
    });
  };
  const answer = <T>(
    channel: string,
    schema: z.ZodType<T>,
    act: (window: BrowserWindow, value: T) => Promise<unknown>,
  ): void => {
    ipcMain.handle(channel, async (event, value: unknown) => {
      const window = windowOf(event);
      const parsed = schema.safeParse(value);
      if (window === null || !parsed.success) throw refused();
      return act(window, parsed.data);
    });
  };

  hear(channels.connect, z.undefined(), (window, _value, event) => {
    const { port1, port2 } = new MessageChannelMain();
    host.connect(windowTransport(port1));
    event.senderFrame?.postMessage(channels.port, null, [port2]);
    host.pageBegan(window);
  });
  answer(channels.chooseOpen, chooseOpenSchema, (window, options) =>
    chooseOpen(window, options, host.texts()),
  );
  answer(channels.chooseSave, chooseSaveSchema, (window, options) =>
    chooseSave(window, options, host.texts()),
  );
  hear(channels.startDrag, idSchema, (window, takeId) => {
    host.startDrag(window, takeId).catch((thrown: unknown) => host.log(thrown));
  });
  hear(channels.showInFolder, absolutePath, (_window, path) => shell.showItemInFolder(path));
  hear(channels.setTitle, title, (window, project) =>
    window.setTitle(project === null ? 'Pusa Studio' : `${project} — Pusa Studio`),
  );
}

function refused(): PusaError {
  return new PusaError('CONTRACT_VIOLATION', 'The request was refused.', 'Reload the window and try again.');
}
