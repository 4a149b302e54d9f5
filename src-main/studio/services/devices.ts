import type { DeviceReport } from '../../core/contract/device.ts';
import type { Supervisor } from '../../engine/supervisor.ts';
import type { HandlersOf } from '../handlers.ts';

/** What this machine has and what of it runs models: asked of the engine once, and again where that is wanted. */
export class Devices {
  readonly #supervisor: Supervisor;
  #report: Promise<DeviceReport> | null = null;
  #known: DeviceReport | null = null;

  constructor(supervisor: Supervisor) {
    this.#supervisor = supervisor;
  }

  /** The last report; null before the first one. */
  get known(): DeviceReport | null {
    return this.#known;
  }

  /** @param fresh everything is measured anew, which takes seconds @throws PusaError of the engine */
  report(fresh: boolean): Promise<DeviceReport> {
    if (this.#report !== null && !fresh) return this.#report;
    const asked = this.#supervisor.report({ fresh });
    this.#report = asked;
    asked.then(
      (report) => (this.#known = report),
      () => {
        if (this.#report === asked) this.#report = null;
      },
    );
    return asked;
  }
}

export function deviceHandlers({ devices }: { readonly devices: Devices }): HandlersOf<'device'> {
  return { 'device.report': ({ fresh }) => devices.report(fresh) };
}
