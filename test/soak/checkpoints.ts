/** 1,000 malformed checkpoints. `node test/soak/checkpoints.ts [SEED]`: another seed gives other cases. */
import { failuresOf, runCases, table } from '../malformed/run.ts';

const seed = Number(process.argv[2] ?? 20_261_123);
const { sound, mutants } = await runCases({ seed, count: 1000, of: 'checkpoints' });
process.stdout.write(`seed ${seed}\n${table(mutants)}\n`);
for (const line of failuresOf(sound)) process.stdout.write(`FAILED ${line}\n`);
process.exitCode = failuresOf([...sound, ...mutants]).length > 0 ? 1 : 0;
