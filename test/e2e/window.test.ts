import { describe } from 'vitest';
import { browserPath, warnWithoutBrowser } from '../support/chromium.ts';
import { studioFlows } from './flows.ts';
import { openServed } from './opened.ts';

warnWithoutBrowser('the window from end to end');

describe.skipIf(browserPath === null)('the window in a browser', () => {
  studioFlows(() => openServed());
});
