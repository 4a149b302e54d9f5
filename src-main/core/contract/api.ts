import type { Contract, EventOf, InputOf, MethodOf, OutputOf, PayloadOf } from './channel/contract.ts';
import { assetMethods } from './api/assets.ts';
import { jobEvents, jobMethods } from './api/jobs.ts';
import { modelEvents, modelMethods } from './api/models.ts';
import { projectEvents, projectMethods } from './api/projects.ts';
import { settingsEvents, settingsMethods } from './api/settings.ts';
import { takeMethods } from './api/takes.ts';

/**
 * Everything the studio does for a window, a browser or a script: each method and each event once. Proxies, servers,
 * types and checks are all made from this.
 */
export const api = {
  version: 1,
  methods: {
    ...projectMethods,
    ...assetMethods,
    ...jobMethods,
    ...takeMethods,
    ...modelMethods,
    ...settingsMethods,
  },
  events: { ...projectEvents, ...jobEvents, ...modelEvents, ...settingsEvents },
} as const satisfies Contract;

export type Api = typeof api;
export type MethodName = MethodOf<Api>;
export type EventName = EventOf<Api>;
export type Input<M extends MethodName> = InputOf<Api, M>;
export type Output<M extends MethodName> = OutputOf<Api, M>;
export type EventPayload<E extends EventName> = PayloadOf<Api, E>;
