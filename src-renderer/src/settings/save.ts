import type { Settings } from '../../../src-main/core/contract/api/settings.ts';
import type { Session } from '../state/session.svelte.ts';

/** Changes settings: shown at once, taken back when the studio refuses. */
export async function saveSettings(session: Session, change: Partial<Settings>): Promise<void> {
  const before = session.settings;
  if (before === null) return;
  session.settings = { ...before, ...change };
  try {
    session.settings = await session.client.api.settings.set(change);
  } catch (thrown) {
    session.settings = before;
    session.fail(thrown);
  }
}
