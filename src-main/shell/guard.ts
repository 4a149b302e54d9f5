import { app, session, shell, type WebContents, type WebFrameMain } from 'electron';
import { appUrl } from './scheme.ts';

/** Hosts whose pages a link may open in the person's browser. */
const linkHosts: ReadonlySet<string> = new Set(['github.com', 'huggingface.co']);

/** All that a page of ours may be given; everything else is denied. */
const permissions: ReadonlySet<string> = new Set(['fullscreen', 'clipboard-sanitized-write']);

/** What a page may load: its own files, what it made itself, and Chromium's own inspector. */
const schemes: ReadonlySet<string> = new Set(['app:', 'blob:', 'data:', 'devtools:']);

/** Whether a message comes from our page itself: not from a frame in it, and not from one that is gone. */
export function isTrusted(frame: WebFrameMain | null): boolean {
  return frame !== null && frame.parent === null && frame.url.startsWith(appUrl);
}

/** Denies every page whatever the application does not need. Once, when it is ready. */
export function guardSession(): void {
  const { defaultSession } = session;
  defaultSession.setPermissionRequestHandler((contents, permission, answer) =>
    answer(permissions.has(permission) && contents.getURL().startsWith(appUrl)),
  );
  defaultSession.setPermissionCheckHandler(
    (_contents, permission, origin) => permissions.has(permission) && `${origin}/`.startsWith(appUrl),
  );
  defaultSession.setDevicePermissionHandler(() => false);
  defaultSession.setDisplayMediaRequestHandler(null);
  // It would fetch dictionaries from the network.
  defaultSession.setSpellCheckerEnabled(false);
  defaultSession.webRequest.onBeforeRequest(({ url }, answer) =>
    answer({ cancel: !schemes.has(URL.parse(url)?.protocol ?? '') }),
  );
  defaultSession.on('will-download', (event, _item, contents) => {
    // Only what the page made of its own: everything else is written by the studio.
    if (!contents.getURL().startsWith(appUrl)) event.preventDefault();
  });
}

/** Keeps every page where it is: no navigation away, no window or page inside a page. */
export function guardContents(): void {
  app.on('web-contents-created', (_event, contents: WebContents) => {
    contents.setWindowOpenHandler(({ url }) => {
      if (isLink(url)) void shell.openExternal(url);
      return { action: 'deny' };
    });
    contents.on('will-navigate', (event) => {
      if (!event.url.startsWith(appUrl)) event.preventDefault();
    });
    contents.on('will-frame-navigate', (event) => {
      if (!event.isMainFrame) event.preventDefault();
    });
    contents.on('will-redirect', (event) => {
      if (!event.url.startsWith(appUrl)) event.preventDefault();
    });
    contents.on('will-attach-webview', (event) => event.preventDefault());
  });
}

/** Whether the person's browser may be asked to open an address. */
export function isLink(address: string): boolean {
  const url = URL.parse(address);
  return url?.protocol === 'https:' && linkHosts.has(url.host) && url.username === '';
}
