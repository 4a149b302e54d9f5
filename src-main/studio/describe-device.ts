import type { DeviceReport } from '../engine/runtime/device.ts';

/** The device report as label and value, for a terminal and for the page. */
export function describeDevice(report: DeviceReport): [label: string, value: string][] {
  const rows: [string, string][] = [
    ['System', `${report.platform} ${report.arch}`],
    ['Processor', `${report.cpu.model}, ${report.cpu.threads} threads`],
    [
      'Memory',
      `${gigabytes(report.memory.totalBytes)} in all, ${gigabytes(report.memory.availableBytes)} free`,
    ],
    [
      'Graphics',
      report.gpus
        .map(({ vendor, model, memoryBytes }) =>
          [vendor, model, memoryBytes === null ? '' : gigabytes(memoryBytes)]
            .filter((part) => part !== '')
            .join(' '),
        )
        .join('; ') || 'no graphics card found',
    ],
  ];
  for (const { provider, works, reason, block, forms } of report.providers) {
    rows.push([
      `Runs on ${provider}`,
      works
        ? `yes${block === null ? '' : `, ${block.gflops.toFixed(0)} GFLOP/s`}${forms === null ? '' : `, ${forms.attention} attention`}${provider === report.chosen ? ' (chosen)' : ''}`
        : `no: ${reason ?? 'unknown reason'}`,
    ]);
  }
  rows.push([
    'Versions',
    Object.entries(report.versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', '),
  ]);
  return rows;
}

function gigabytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GB`;
}
