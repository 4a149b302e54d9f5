import { app } from './app.ts';
import { inspector } from './inspector.ts';
import { library } from './library.ts';
import { player } from './player.ts';
import { queue } from './queue.ts';
import { timeline } from './timeline.ts';

export const en = { ...app, ...library, ...timeline, ...player, ...inspector, ...queue };
