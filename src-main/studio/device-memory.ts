import { join } from 'node:path';
import type { MemoryPlace } from '../engine/runtime/memory-place.ts';
import { software } from './software.ts';

/** Where the engine keeps what it finds out about this machine's devices. */
export function deviceMemory(dataFolder: string): MemoryPlace {
  return { file: join(dataFolder, 'devices.json'), application: software };
}
