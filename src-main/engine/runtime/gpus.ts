import { graphics } from 'systeminformation';

/** A graphics adapter as the system lists it. */
export interface Gpu {
  readonly vendor: string;
  readonly model: string;
  readonly memoryBytes: number | null;
  /** Version of its driver; empty where the system does not say. */
  readonly driver: string;
}

/** Graphics adapters as the system lists them; empty where it cannot say. */
export async function listGpus(): Promise<Gpu[]> {
  try {
    const { controllers } = await graphics();
    return controllers.map(({ vendor, model, vram, driverVersion }) => ({
      vendor,
      model,
      // The system reports mebibytes.
      memoryBytes: typeof vram === 'number' && vram > 0 ? vram * 2 ** 20 : null,
      driver: driverVersion ?? '',
    }));
  } catch {
    return [];
  }
}
