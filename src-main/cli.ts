import { inspect } from 'node:util';
import { Command, CommanderError } from 'commander';
import { doctorCommand } from './cli/doctor.ts';
import { infoCommand } from './cli/info.ts';
import { modelsCommand } from './cli/models.ts';
import { renderCommand } from './cli/render.ts';
import { exitCodeOf, exitCodes } from './cli/terminal.ts';
import { toPusaError } from './core/errors.ts';
import { software } from './studio/software.ts';

const program = new Command('pusa')
  .description(
    'Make video with AI on your own machine. Mark frames as fixed, noisy or interpolated; the rest is generated.',
  )
  .version(software)
  .exitOverride()
  .showHelpAfterError('Add --help to see how it is used.')
  .addCommand(renderCommand())
  .addCommand(infoCommand())
  .addCommand(modelsCommand())
  .addCommand(doctorCommand())
  .addHelpText(
    'after',
    `
Exit codes: ${exitCodes.done} done, ${exitCodes.failed} failed, ${exitCodes.usage} wrong usage, ${exitCodes.badInput} input refused, ${exitCodes.outOfSpace} out of disk or memory, ${exitCodes.cancelled} cancelled.`,
  );
for (const command of program.commands.flatMap((one) => [one, ...one.commands]))
  command.exitOverride().showHelpAfterError('Add --help to see how it is used.');

// A reader that has seen enough (`pusa … | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

program.parseAsync().catch((thrown: unknown) => {
  if (thrown instanceof CommanderError) {
    process.exitCode = thrown.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    return;
  }
  const error = toPusaError(thrown);
  if (process.argv.includes('--json')) {
    process.stdout.write(
      `${JSON.stringify({ event: 'failed', code: error.code, message: error.message, remedy: error.remedy })}\n`,
    );
  } else {
    process.stderr.write(`${error.message}\n${error.remedy}  [${error.code}]\n`);
  }
  if (process.env['PUSA_DEBUG'] !== undefined) process.stderr.write(`${inspect(error)}\n`);
  process.exitCode = exitCodeOf(error);
});
