import { app } from './app.ts';
import { inspector } from './inspector.ts';
import { library } from './library.ts';
import { models } from './models.ts';
import { player } from './player.ts';
import { queue } from './queue.ts';
import { timeline } from './timeline.ts';

export const zh = { ...app, ...library, ...models, ...timeline, ...player, ...inspector, ...queue };
