import { readFileSync, writeFileSync } from 'node:fs';

/**
 * Measures the most memory this process held at once, in bytes, weights mapped from files included. On Linux from the
 * moment of this call; elsewhere over the life of the process, which is the same while it has run nothing larger.
 * @returns what reads it
 */
export function watchPeakMemory(): () => number {
  const highest = (): number => process.resourceUsage().maxRSS * 1024;
  if (process.platform !== 'linux') return highest;
  try {
    // Sets the high-water mark back to what is held now.
    writeFileSync('/proc/self/clear_refs', '5');
  } catch {
    return highest;
  }
  return () => {
    const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    return kilobytes === undefined ? highest() : Number(kilobytes) * 1024;
  };
}
