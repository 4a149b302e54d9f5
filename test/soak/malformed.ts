/** 500 malformed inputs. `node test/soak/malformed.ts [SEED]`: another seed gives other cases. */
import { failuresOf, runCases, table } from '../malformed/run.ts';

const seed = Number(process.argv[2] ?? 20_260_102);
const { sound, mutants } = await runCases({ seed, count: 500, of: 'inputs' });
process.stdout.write(`seed ${seed}\n${table(mutants)}\n`);
for (const line of failuresOf(sound)) process.stdout.write(`FAILED ${line}\n`);
process.exitCode = failuresOf([...sound, ...mutants]).length > 0 ? 1 : 0;
