import { Command } from 'commander';
import type { DeviceReport } from '../engine/runtime/device.ts';
import { createSupervisor } from '../engine/supervisor.ts';
import { nodeFork } from '../engine/transport.ts';
import { findFfmpeg } from '../media/tools.ts';
import { defaultDataFolder } from '../studio/data-folder.ts';
import { deviceMemory } from '../studio/device-memory.ts';
import { listShelf } from '../studio/model-shelf.ts';
import { findPlaces } from '../studio/places.ts';
import { describeDevice } from '../studio/describe-device.ts';

/** `doctor`: what this machine has and what of it runs models. */
export function doctorCommand(): Command {
  return new Command('doctor')
    .description(
      'Report on this machine: processors, graphics cards, memory, and how fast each runs a model.',
    )
    .option('--json', 'print the report as JSON')
    .action(doctor);
}

async function doctor(options: { readonly json?: true }): Promise<void> {
  const places = findPlaces();
  const memory = deviceMemory(defaultDataFolder());
  const supervisor = createSupervisor({ entry: places.engineEntry, fork: nodeFork(), memory });
  try {
    const report: DeviceReport = await supervisor.report({ fresh: true });
    const ffmpeg = await findFfmpeg();
    const models = (await listShelf(defaultDataFolder(), places)).map(({ id }) => id);
    if (options.json === true) process.stdout.write(`${JSON.stringify({ ...report, ffmpeg, models })}\n`);
    else {
      const rows = [
        ...describeDevice(report),
        [
          'Video files',
          ffmpeg === null
            ? 'ffmpeg is not installed: pictures only, mp4 by the built-in encoder'
            : ffmpeg.path,
        ],
        ['Models', models.join(', ')],
      ] as const;
      const width = Math.max(...rows.map(([label]) => label.length));
      process.stdout.write(
        `${rows.map(([label, value]) => `${label.padEnd(width)}  ${value}`).join('\n')}\n`,
      );
    }
  } finally {
    await supervisor.close();
  }
}
