// 1,000 mutated messages to the served application. `node test/soak/messages.ts [COUNT] [SEED]`
import { sendMutants } from '../web/mutants.ts';
import { serve } from '../web/served.ts';

const count = Number(process.argv[2] ?? 1000);
const seed = Number(process.argv[3] ?? 20_261_123);
const served = await serve('--no-paths');
try {
  const report = await sendMutants(served, count, seed);
  const { sent, refused, answered, hungUp, faults } = report;
  process.stdout.write(
    `seed ${seed}: ${sent} messages: ${refused} refused, ${hungUp} hung up on, ${answered} still allowed; ${faults.length} faults\n`,
  );
  for (const fault of faults) process.stdout.write(`FAILED ${fault}\n`);
  process.exitCode = faults.length === 0 ? 0 : 1;
} finally {
  await served.stop();
}
