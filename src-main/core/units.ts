const names = ['B', 'kB', 'MB', 'GB', 'TB'] as const;

/** Bytes as a person reads them, with three digits that count and powers of a thousand: `15.9 MB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < names.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 99.5 ? 0 : value >= 9.95 ? 1 : 2;
  return `${value.toFixed(digits)} ${names[unit] ?? 'TB'}`;
}
