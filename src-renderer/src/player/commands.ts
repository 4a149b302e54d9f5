import { t } from '../i18n/index.svelte.ts';
import type { UiCommand } from '../state/keys.svelte.ts';
import type { View } from '../state/session.svelte.ts';
import type { Player } from './player.svelte.ts';
import { fitted } from './rect.ts';

/** Views in the order they are shown. */
export const views = ['source', 'result', 'wipe', 'side', 'onion'] as const satisfies readonly View[];

const viewLabels = {
  source: 'player.viewSource',
  result: 'player.viewResult',
  wipe: 'player.viewWipe',
  side: 'player.viewSide',
  onion: 'player.viewOnion',
} as const satisfies Record<View, string>;

/** Scales of the picture that can be chosen: stage pixels per project pixel; null fits it. */
export const zooms = [null, 0.5, 1, 2, 4] as const;

/** Everything the player can do by key and from the palette. */
export function playerCommands(player: Player, fullScreen: () => void): readonly UiCommand[] {
  const hasFrames = (): boolean => player.end > 0;
  const play = (
    id: string,
    label: UiCommand['label'],
    keys: readonly string[],
    run: () => void,
    repeat = false,
  ): UiCommand => ({ id: `player.${id}`, group: 'play', label, keys, run, when: hasFrames, repeat });
  return [
    play(
      'toggle',
      () => t('player.playPause'),
      ['Space'],
      () => player.toggle(),
    ),
    play(
      'back',
      () => t('player.shuttleBack'),
      ['J'],
      () => player.shuttle(-1),
    ),
    play(
      'stop',
      () => t('player.stop'),
      ['K'],
      () => player.stop(),
    ),
    play(
      'forward',
      () => t('player.shuttle'),
      ['L'],
      () => player.shuttle(1),
    ),
    play(
      'frameBack',
      () => t('player.frameBack'),
      ['ArrowLeft'],
      () => player.step(-1),
      true,
    ),
    play(
      'frameOn',
      () => t('player.frameOn'),
      ['ArrowRight'],
      () => player.step(1),
      true,
    ),
    play(
      'cellBack',
      () => t('player.cellBack'),
      ['Shift+ArrowLeft'],
      () => player.stepCell(-1),
      true,
    ),
    play(
      'cellOn',
      () => t('player.cellOn'),
      ['Shift+ArrowRight'],
      () => player.stepCell(1),
      true,
    ),
    play(
      'edgeBack',
      () => t('player.edgeBack'),
      ['ArrowUp'],
      () => player.stepEdge(-1),
      true,
    ),
    play(
      'edgeOn',
      () => t('player.edgeOn'),
      ['ArrowDown'],
      () => player.stepEdge(1),
      true,
    ),
    play(
      'toStart',
      () => t('player.toStart'),
      ['Home'],
      () => player.toStart(),
    ),
    play(
      'toEnd',
      () => t('player.toEnd'),
      ['End'],
      () => player.toEnd(),
    ),
    play(
      'setIn',
      () => t('player.setIn'),
      ['I'],
      () => player.mark('in'),
    ),
    play(
      'setOut',
      () => t('player.setOut'),
      ['O'],
      () => player.mark('out'),
    ),
    play(
      'clearInOut',
      () => t('player.clearInOut'),
      [],
      () => player.clearMarks(),
    ),
    play(
      'loop',
      () => t('player.toggleLoop'),
      ['Shift+L'],
      () => player.toggleLoop(),
    ),
    play(
      'mute',
      () => t(player.sound.muted ? 'player.unmute' : 'player.mute'),
      ['Shift+M'],
      () => player.sound.toggleMute(),
    ),
    play('fullScreen', () => t('player.fullScreen'), ['F'], fullScreen),
    play(
      'fit',
      () => t('player.zoomFit'),
      [],
      () => (player.zoom = fitted),
    ),
    play(
      'guides',
      () => t('player.guides'),
      [],
      () => (player.guides = !player.guides),
    ),
    ...views.map((view, index) =>
      play(
        view,
        () => t(viewLabels[view]),
        [`Shift+${index + 1}`],
        () => (player.session.view = view),
      ),
    ),
  ];
}
