import { ranked, type DeviceReport } from '../core/contract/device.ts';

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
  for (const each of rankedProviders(report)) {
    rows.push([`Runs on ${each.provider}`, describeProvider(each, report.chosen)]);
    if (typeof each.help === 'string') rows.push(['', each.help]);
  }
  rows.push([
    'Versions',
    Object.entries(report.versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', '),
  ]);
  return rows;
}

type ProviderReport = DeviceReport['providers'][number];

/** By measurement: the quickest first, those that do not work last. */
function rankedProviders({ providers }: Pick<DeviceReport, 'providers'>): readonly ProviderReport[] {
  return ranked(providers.map((each) => ({ ...each, speed: each.works ? (each.speed ?? 0) : null })));
}

function describeProvider(
  { provider, works, reason, block, forms, speed }: ProviderReport,
  chosen: string,
): string {
  if (!works) return `no: ${reason ?? 'unknown reason'}`;
  return [
    'yes',
    ...(block === null
      ? []
      : [`${block.gflops >= 1 ? block.gflops.toFixed(0) : formatSpeed(block.gflops)} GFLOP/s`]),
    ...(typeof speed !== 'number' || provider === 'cpu' ? [] : [`${formatSpeed(speed)} times the processor`]),
    ...(forms === null ? [] : [`${forms.attention} attention`]),
    ...(provider === chosen ? ['chosen'] : []),
  ].join(', ');
}

function formatSpeed(value: number): string {
  return value >= 10 ? value.toFixed(0) : value.toPrecision(2);
}

function gigabytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GB`;
}
