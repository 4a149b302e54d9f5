import { contextBridge, ipcRenderer, webUtils } from 'electron';
import {
  bridgeChannels as channels,
  portMessage,
  type Bridge,
  type MenuCommand,
} from './core/contract/bridge.ts';

/** The page's window, as far as it is used here: this side has no DOM types. */
declare const window: {
  readonly location: { readonly origin: string };
  postMessage(data: unknown, origin: string, ports: readonly unknown[]): void;
};

/** Files that were opened before the page listened. */
const waiting: string[] = [];
const openFileListeners = new Set<(path: string) => void>();

ipcRenderer.on(channels.port, (event) => {
  // A port cannot cross the context bridge; the page's own message queue it can.
  window.postMessage(portMessage, window.location.origin, event.ports);
});
ipcRenderer.on(channels.openFile, (_event, path: string) => {
  if (openFileListeners.size === 0) waiting.push(path);
  for (const listener of openFileListeners) listener(path);
});

const bridge: Bridge = {
  platform: process.platform as Bridge['platform'],
  connect: () => ipcRenderer.send(channels.connect),
  pathForFile(file) {
    const path = webUtils.getPathForFile(file as Parameters<typeof webUtils.getPathForFile>[0]);
    return path === '' ? null : path;
  },
  chooseOpen: (options) => ipcRenderer.invoke(channels.chooseOpen, options) as Promise<string[]>,
  chooseSave: (options) => ipcRenderer.invoke(channels.chooseSave, options) as Promise<string | null>,
  onMenu(listener) {
    const hear = (_event: unknown, command: MenuCommand): void => listener(command);
    ipcRenderer.on(channels.menu, hear);
    return () => void ipcRenderer.off(channels.menu, hear);
  },
  onOpenFile(listener) {
    openFileListeners.add(listener);
    for (const path of waiting.splice(0)) listener(path);
    return () => void openFileListeners.delete(listener);
  },
  startDrag: (takeId) => ipcRenderer.send(channels.startDrag, takeId),
  showInFolder: (path) => ipcRenderer.send(channels.showInFolder, path),
  setTitle: (project) => ipcRenderer.send(channels.setTitle, project),
};

contextBridge.exposeInMainWorld('pusa', bridge);
