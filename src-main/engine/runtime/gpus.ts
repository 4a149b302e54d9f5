import { readFile } from 'node:fs/promises';
import { graphics, type Systeminformation } from 'systeminformation';

/** A graphics adapter as the system lists it. */
export interface Gpu {
  readonly vendor: string;
  readonly model: string;
  /** Memory of its own; null where it works in the machine's memory or nothing says how much it has. */
  readonly memoryBytes: number | null;
  /** Version of its driver; empty where the system does not say. */
  readonly driver: string;
}

/**
 * Less than this is no memory of its own: what the firmware sets aside for a graphics unit that shares the machine's, or
 * the window through which Linux sees a larger one.
 */
const leastBytes = 2 ** 30;

/** Graphics adapters as the system lists them; empty where it cannot say. */
export async function listGpus(): Promise<Gpu[]> {
  try {
    const { controllers } = await graphics();
    return await Promise.all(
      controllers.map(async (controller) => {
        const bytes = (await amdMemory(controller.busAddress)) ?? listedMemory(controller);
        return {
          vendor: controller.vendor,
          model: controller.model,
          memoryBytes: bytes >= leastBytes ? bytes : null,
          driver: controller.driverVersion ?? '',
        };
      }),
    );
  } catch {
    return [];
  }
}

/** Bytes as the system lists them, in mebibytes; on Linux only NVIDIA's driver says, the rest are sizes of windows. */
function listedMemory({
  memoryTotal,
  vram,
}: Pick<Systeminformation.GraphicsControllerData, 'memoryTotal' | 'vram'>): number {
  return (memoryTotal ?? (process.platform === 'linux' ? 0 : (vram ?? 0))) * 2 ** 20;
}

/** What AMD's driver on Linux says; null elsewhere. @param bus address on the PCI bus, as 03:00.0 */
async function amdMemory(bus: string | undefined): Promise<number | null> {
  if (process.platform !== 'linux' || bus === undefined) return null;
  const device = bus.length > 7 ? bus : `0000:${bus}`;
  const text = await readFile(`/sys/bus/pci/devices/${device}/mem_info_vram_total`, 'utf8').catch(() => '');
  return /^\d+\s*$/.test(text) ? Number(text) : null;
}
