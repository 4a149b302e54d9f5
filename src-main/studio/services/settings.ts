import { settingsSchema, type Settings } from '../../core/contract/api/settings.ts';
import type { StudioContext } from '../context.ts';
import type { HandlersOf } from '../handlers.ts';
import type { StateFile } from '../state-file.ts';

/** How the application is before a person changes anything. */
export const defaultSettings: Settings = {
  language: 'system',
  theme: 'system',
  reducedMotion: null,
  defaultModel: null,
  provider: null,
  previews: true,
  exportFolder: null,
};

/** What a file of an earlier version may lack stands at its default. */
export const storedSettingsSchema = settingsSchema
  .partial()
  .transform((stored): Settings => ({ ...defaultSettings, ...withoutUndefined(stored) }));

/** Settings of the whole application. */
export function settingsHandlers(
  context: Pick<StudioContext, 'emit'>,
  file: StateFile<Settings>,
): HandlersOf<'settings'> {
  return {
    'settings.get': () => file.value,
    'settings.set': async (wanted) => {
      const before = file.value;
      const after = await file.change((settings) => ({ ...settings, ...withoutUndefined(wanted) }));
      if (JSON.stringify(before) !== JSON.stringify(after)) context.emit('settings.changed', after);
      return after;
    },
  };
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function withoutUndefined<T extends object>(partial: T): Given<T> {
  return Object.fromEntries(Object.entries(partial).filter(([, value]) => value !== undefined)) as Given<T>;
}
