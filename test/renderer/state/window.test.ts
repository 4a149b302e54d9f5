import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Transport } from '../../../src-main/core/contract/channel.ts';
import { en } from '../../../src-renderer/src/i18n/en/index.ts';
import { setLanguage, systemLanguage, t } from '../../../src-renderer/src/i18n/index.svelte.ts';
import { zh } from '../../../src-renderer/src/i18n/zh/index.ts';
import { rank } from '../../../src-renderer/src/shell/palette.ts';
import { Connection } from '../../../src-renderer/src/state/connection.ts';
import { parseAssetDrag } from '../../../src-renderer/src/state/drag.svelte.ts';
import { Keys, type UiCommand } from '../../../src-renderer/src/state/keys.svelte.ts';
import {
  fitLayout,
  largest,
  layoutSchema,
  smallest,
  standardLayout,
} from '../../../src-renderer/src/state/layout.svelte.ts';
import { recall, remember } from '../../../src-renderer/src/state/memory.ts';
import { keyParts, matches, type KeyPress } from '../../../src-renderer/src/state/shortcut.ts';
import { Gesture, pace, parseNumber, settle } from '../../../src-renderer/src/ui/number.ts';
import { place } from '../../../src-renderer/src/ui/place.ts';
import { Gate } from '../../../src-renderer/src/ui/thumb.ts';
import { failure, until } from '../../core/small-studio.ts';
import { root } from '../../support/places.ts';
import { sampleProject } from '../../support/project.ts';
import { TestStudio } from './studio.ts';

const press = (key: string, more: Partial<KeyPress> = {}): KeyPress => ({
  key,
  code: /^[a-z]$/i.test(key) ? `Key${key.toUpperCase()}` : key,
  metaKey: false,
  ctrlKey: false,
  altKey: false,
  shiftKey: false,
  ...more,
});

describe('the connection of a window', () => {
  it('keeps calls until the first line is open, and opens the next when one is lost', async () => {
    const studio = await TestStudio.open();
    try {
      let refusals = 3;
      const connection = studio.connection(() =>
        refusals-- > 0 ? Promise.reject(new Error('nobody')) : studio.dial(),
      );
      const seen: string[] = [];
      connection.onStatus((status) => seen.push(status));
      const changed: string[] = [];
      connection.on('settings.changed', ({ theme }) => changed.push(theme));
      await until(() => connection.status === 'open');
      await connection.api.settings.set({ theme: 'light' });
      await until(() => changed.length === 1);

      studio.hangUp();
      await until(() => seen.filter((status) => status === 'open').length === 2);
      await connection.api.settings.set({ theme: 'dark' });
      await until(() => changed.length === 2);
      expect(changed).toEqual(['light', 'dark']);
      expect(seen).toEqual(['lost', 'open', 'lost', 'open']);
    } finally {
      await studio.close();
    }
  });

  it('lets a call wait for the first line, and fails it at once while there is none', async () => {
    const studio = await TestStudio.open();
    try {
      const connection = studio.connection();
      expect((await connection.api.settings.get({})).theme).toBe('system');
      connection.close();
      expect((await failure(connection.api.settings.get({}))).code).toBe('CONNECTION_CLOSED');
      expect((await connection.closed).code).toBe('CONNECTION_CLOSED');
    } finally {
      await studio.close();
    }
  });

  it('does not go on calling a studio of another version', async () => {
    let dialled = 0;
    const stranger: Transport = {
      send: () => undefined,
      listen: (listener) => queueMicrotask(() => listener.onMessage({ type: 'result', id: 9, output: null })),
      close: () => undefined,
    };
    const connection = new Connection({
      dial: () => {
        dialled++;
        return Promise.resolve(stranger);
      },
      pauses: [0],
    });
    await until(() => connection.status === 'refused');
    expect(dialled).toBe(1);
    connection.close();
  });
});

describe('keys', () => {
  const ran: string[] = [];
  const command = (id: string, keys: string[], more: Partial<UiCommand> = {}): UiCommand => ({
    id,
    group: 'edit',
    label: () => id,
    keys,
    run: () => void ran.push(id),
    ...more,
  });

  it('are found by what they write, or by where they lie in other scripts', () => {
    expect(matches('Mod+Z', press('z', { ctrlKey: true }), false)).toBe(true);
    expect(matches('Mod+Z', press('z', { metaKey: true }), true)).toBe(true);
    expect(matches('Mod+Z', press('z', { ctrlKey: true }), true)).toBe(false);
    expect(matches('Mod+Z', press('Z', { ctrlKey: true, shiftKey: true }), false)).toBe(false);
    expect(matches('Mod+Shift+Z', press('Z', { ctrlKey: true, shiftKey: true }), false)).toBe(true);
    expect(matches('Mod+K', press('л', { code: 'KeyK', ctrlKey: true }), false)).toBe(true);
    expect(matches('?', press('?', { code: 'Slash', shiftKey: true }), false)).toBe(true);
    expect(matches('Space', press(' ', { code: 'Space' }), false)).toBe(true);
    expect(matches('1', press('&', { code: 'Digit1' }), false)).toBe(true);
    expect(keyParts('Mod+Shift+ArrowLeft', true)).toEqual(['⌘', '⇧', '←']);
    expect(keyParts('Mod+Delete', false)).toEqual(['Ctrl', 'Del']);
  });

  it('run the command that can be done, unless what has the focus wants the key', () => {
    const keys = new Keys();
    let isOpen = false;
    const stop = keys.register([
      command('undo', ['Mod+Z']),
      command('play', ['Space']),
      command('blade', ['S']),
      command('save', ['Mod+S']),
      command('close', ['Escape'], { when: () => isOpen }),
      command('step', ['ArrowRight'], { repeat: true }),
    ]);
    const tap = (
      key: string,
      target: 'text' | 'control' | 'none',
      more: Partial<KeyPress> & { repeat?: boolean } = {},
    ) =>
      keys.press(
        { ...press(key, more), ...(more.repeat === undefined ? {} : { repeat: more.repeat }) },
        target,
        false,
      );

    expect(tap('s', 'text')).toBe(false);
    expect(tap('z', 'text', { ctrlKey: true })).toBe(false);
    expect(tap('s', 'text', { ctrlKey: true })).toBe(true);
    expect(tap(' ', 'control', { code: 'Space' })).toBe(false);
    expect(tap('s', 'control')).toBe(true);
    expect(tap('Escape', 'none')).toBe(false);
    isOpen = true;
    expect(tap('Escape', 'none')).toBe(true);
    expect(tap('s', 'none', { repeat: true })).toBe(true);
    expect(tap('ArrowRight', 'none', { repeat: true })).toBe(true);
    expect(ran.splice(0)).toEqual(['save', 'blade', 'close', 'step']);

    // The part that came last answers first, and gives the key back when it goes.
    const leave = keys.register([command('inner', ['S'])]);
    tap('s', 'none');
    leave();
    tap('s', 'none');
    expect(ran.splice(0)).toEqual(['inner', 'blade']);
    expect(() => keys.register([command('undo', [])])).toThrow('undo');
    stop();
    expect(keys.all).toEqual([]);
    expect(keys.run('undo')).toBe(false);
  });

  it('are looked for by a few letters', () => {
    const names = ['Save as …', 'Split the clip', 'Show or hide the library', 'Settings …'];
    const found = (typed: string): string[] => rank(names, typed, (name) => name);
    expect(found('')).toEqual(names);
    expect(found('sett')).toEqual(['Settings …']);
    expect(found('sc')[0]).toBe('Split the clip');
    expect(found('lib')).toEqual(['Show or hide the library']);
    expect(found('zz')).toEqual([]);
  });
});

describe('the layout', () => {
  it('fits every window, and keeps what was chosen where there is room', () => {
    for (const window of [
      { width: 1280, height: 720 },
      { width: 1920, height: 1080 },
      { width: 2560, height: 1440 },
    ]) {
      const shown = fitLayout(standardLayout, window);
      expect(shown).toEqual(standardLayout);
      const greedy = fitLayout(
        {
          library: { size: 9000, open: true },
          inspector: { size: 9000, open: true },
          timeline: { size: 9000, open: true },
        },
        window,
      );
      expect(greedy.library.size + greedy.inspector.size).toBeLessThanOrEqual(window.width - 400);
      expect(greedy.timeline.size).toBeLessThanOrEqual(window.height - 244);
    }
    const tiny = fitLayout(standardLayout, { width: 500, height: 300 });
    expect([tiny.library.size, tiny.inspector.size, tiny.timeline.size]).toEqual([
      smallest.library,
      smallest.inspector,
      smallest.timeline,
    ]);
    const hidden = { ...standardLayout, inspector: { size: 400, open: false } };
    expect(largest(hidden, 'library', { width: 1000, height: 800 })).toBe(400);
  });

  it('is remembered, and forgotten when it is not what it should be', () => {
    const kept = new Map<string, string>();
    const storage = {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => void kept.set(key, value),
    };
    expect(recall('layout', layoutSchema, storage)).toBeNull();
    remember('layout', standardLayout, storage);
    expect(recall('layout', layoutSchema, storage)).toEqual(standardLayout);
    for (const bad of ['{', '{"library":1}', '[]', 'x'.repeat(200_000)]) {
      kept.set('pusa.layout', bad);
      expect(recall('layout', layoutSchema, storage)).toBeNull();
    }
    const full = {
      ...storage,
      setItem: () => {
        throw new Error('full');
      },
    };
    expect(() => remember('layout', standardLayout, full)).not.toThrow();
    expect(
      recall('layout', z.string(), {
        ...storage,
        getItem: () => {
          throw new Error('no');
        },
      }),
    ).toBeNull();
  });

  it('keeps what floats inside the window', () => {
    const window = { width: 1000, height: 700 };
    const menu = { width: 200, height: 300 };
    const at = (left: number, top: number) => ({ left, top, width: 20, height: 20 });
    expect(place(at(100, 100), menu, window)).toEqual({ left: 100, top: 124 });
    expect(place(at(950, 100), menu, window).left).toBe(794);
    expect(place(at(100, 650), menu, window).top).toBe(346);
    expect(place(at(900, 100), menu, window, 'right').left).toBe(696);
    expect(place(at(100, 100), { width: 200, height: 5000 }, window).top).toBe(6);
  });
});

describe('words', () => {
  it('are there in both languages, with the same places to fill', () => {
    expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort());
    const places = (text: string): string[] =>
      [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!).sort();
    for (const key of Object.keys(en) as (keyof typeof en)[]) {
      expect(zh[key].trim(), key).not.toBe('');
      expect(en[key].trim(), key).not.toBe('');
      expect([...new Set(places(zh[key]))], key).toEqual([...new Set(places(en[key]))]);
    }
  });

  it('are those of the language that is set', () => {
    expect(t('app.undoStep', { step: 'Move' })).toBe('Undo: Move');
    setLanguage('zh-CN');
    expect(t('app.undoStep', { step: 'Move' })).toBe('撤销：Move');
    setLanguage('en');
    expect(systemLanguage(['fr', 'zh-Hans-CN', 'en'])).toBe('zh-CN');
    expect(systemLanguage(['de', 'en-GB', 'zh'])).toBe('en');
    expect(systemLanguage([])).toBe('en');
  });
});

describe('colours', () => {
  const css = readFileSync(join(root, 'src-renderer', 'src', 'theme.css'), 'utf8');
  const variables = (block: RegExp): Record<string, string> =>
    Object.fromEntries(
      [...(block.exec(css)?.[1] ?? '').matchAll(/--([\w-]+):\s*(#[0-9a-f]{6}|rgb\([^)]*\));/g)].map(
        ([, name, value]) => [name!, value!],
      ),
    );
  const dark = variables(/:root \{([\s\S]*?)\n\}/);
  const themes = { dark, light: { ...dark, ...variables(/:root\[data-theme='light'\] \{([\s\S]*?)\n\}/) } };
  const soft = ['accent', 'good', 'warn', 'bad'] as const;

  /** Red, green, blue, 0 … 255, and how much of it is seen. */
  function parse(value: string): [number, number, number, number] {
    const hex = /^#(..)(..)(..)$/.exec(value);
    if (hex) return [parseInt(hex[1]!, 16), parseInt(hex[2]!, 16), parseInt(hex[3]!, 16), 1];
    const [red = NaN, green = NaN, blue = NaN, percent = 100] = (value.match(/\d+/g) ?? []).map(Number);
    return [red, green, blue, percent / 100];
  }
  /** WCAG 2.2, relative luminance of a colour on a ground that is seen whole. */
  function luminance(value: string, ground = '#000000'): number {
    const [top, below] = [parse(value), parse(ground)];
    const [red = 0, green = 0, blue = 0] = [0, 1, 2].map((i) => {
      const channel = (top[i]! * top[3] + below[i]! * (1 - top[3])) / 255;
      return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }
  const contrast = (a: number, b: number): number => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);

  it.each(Object.entries(themes))('of the %s theme can be read: 4.5 to 1 for every text', (_name, theme) => {
    const of = (name: string): string => theme[name]!;
    const pairs: (readonly [text: string, on: string, ground?: string])[] = [
      ...['text', 'text-2', 'muted'].flatMap((text) =>
        ['bg', 'panel', 'panel-2', 'panel-3', 'well'].map((on) => [text, on] as const),
      ),
      ...soft.flatMap((tone) =>
        ['panel', 'panel-2'].flatMap((ground) => [
          [tone, ground] as const,
          ...[tone, 'text', 'text-2', 'muted'].map((text) => [text, `${tone}-soft`, ground] as const),
        ]),
      ),
      ...['accent', 'fixed', 'noisy', 'interpolated'].map((on) => [`on-${on}`, on] as const),
      ['on-accent', 'accent-hover'],
    ];
    const poor = pairs.filter(
      ([text, on, ground = 'panel']) => contrast(luminance(of(text)), luminance(of(on), of(ground))) < 4.5,
    );
    expect(poor).toEqual([]);
  });
});

describe('numbers typed and dragged', () => {
  it('settle on a step inside their ends', () => {
    const rule = { min: 0, max: 30, step: 0.1 };
    expect(settle(2.9999999, rule)).toBe(3);
    expect(settle(-4, rule)).toBe(0);
    expect(settle(99, rule)).toBe(30);
    expect(settle(0.1 + 0.2, rule)).toBe(0.3);
    expect(parseNumber(' 3,5 ')).toBe(3.5);
    expect(parseNumber('.5')).toBe(0.5);
    for (const no of ['', '3x', '1e9', '--1', '0x10']) expect(parseNumber(no)).toBeNull();
    expect(pace({ min: 0, max: 1, step: 0.1 }, { shiftKey: true, altKey: false })).toBe(1);
    expect(pace({ min: 0, max: 1, step: 0.1, digits: 2 }, { shiftKey: false, altKey: true })).toBeCloseTo(
      0.01,
    );
  });

  it('are one gesture while they follow one another', () => {
    const gesture = new Gesture(800);
    const first = gesture.at(0);
    expect(gesture.at(700)).toBe(first);
    expect(gesture.at(1400)).toBe(first);
    expect(gesture.at(2300)).not.toBe(first);
    const last = gesture.at(2400);
    gesture.end();
    expect(gesture.at(2401)).not.toBe(last);
  });
});

describe('pictures of a list', () => {
  it('come a few at a time, in turn, and what went away is not fetched', () => {
    const gate = new Gate(2);
    const begun: string[] = [];
    const enter = (name: string): (() => void) => gate.enter(() => begun.push(name));
    const [a, b, c, d, e] = ['a', 'b', 'c', 'd', 'e'].map(enter);
    expect(begun).toEqual(['a', 'b']);
    c!();
    a!();
    expect(begun).toEqual(['a', 'b', 'd']);
    // Told twice that it is done, it still makes room once.
    a!();
    expect(begun).toHaveLength(3);
    b!();
    d!();
    e!();
    expect(begun).toEqual(['a', 'b', 'd', 'e']);
    enter('f');
    expect(begun.at(-1)).toBe('f');
  });
});

describe('an asset that is dropped', () => {
  it('is read whole, and only when it is one', () => {
    const [asset] = sampleProject().assets;
    expect(parseAssetDrag(JSON.stringify(asset))).toEqual(asset);
    for (const bad of ['', '{', '{}', JSON.stringify({ ...asset, hash: 'x' }), `"${'x'.repeat(70_000)}"`]) {
      expect(parseAssetDrag(bad)).toBeNull();
    }
  });
});
