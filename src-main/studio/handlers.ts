import type { Api, MethodName } from '../core/contract/api.ts';
import type { Handlers } from '../core/contract/channel.ts';

/** The handlers of one domain: `HandlersOf<'jobs'>` answers every method whose name begins with `jobs.` */
export type HandlersOf<D extends string> = Pick<Handlers<Api>, Extract<MethodName, `${D}.${string}`>>;
