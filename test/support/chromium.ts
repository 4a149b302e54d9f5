import { existsSync } from 'node:fs';
import { chromium, type Browser } from 'playwright';

const candidates = [
  process.env['PUSA_BROWSER'],
  '/usr/bin/chromium',
  '/usr/bin/google-chrome',
  '/usr/bin/microsoft-edge',
  'C:/Program Files/Google/Chrome/Application/chrome.exe',
  'C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe',
];

/** The installed Chrome, Chromium or Edge; null where there is none. */
export const browserPath = candidates.find((path) => path !== undefined && existsSync(path)) ?? null;

/** Says loudly that browser tests do not run here. */
export function warnWithoutBrowser(tests: string): void {
  if (browserPath === null) {
    process.stderr.write(`SKIPPED: ${tests}: no Chrome, Chromium or Edge is installed (set PUSA_BROWSER).\n`);
  }
}

/** Starts the installed browser without a window and without any traffic of its own. */
export function launchBrowser(): Promise<Browser> {
  if (browserPath === null) throw new Error('No browser is installed.');
  return chromium.launch({
    executablePath: browserPath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
    ],
  });
}
