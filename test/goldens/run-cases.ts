import { parseArgs } from 'node:util';
import { createRuntime } from '../../src-main/engine/runtime/ort.ts';
import { attentionProbe } from '../../src-main/engine/runtime/probe-graphs.ts';
import { providers } from '../../src-main/engine/runtime/runtime.ts';
import {
  failures,
  findCases,
  formatReport,
  formatSkippedParts,
  goldensFolder,
  runCase,
  usesProvider,
  type CaseReport,
} from './runner.ts';

// Runs golden cases without the test runner: run-cases.ts [--provider webgpu] [case …].
// The WebGPU test starts this in a process of its own, whose environment names the Vulkan driver.
const { values, positionals } = parseArgs({
  options: { provider: { type: 'string', default: 'cpu' } },
  allowPositionals: true,
});
const provider = providers.find((p) => p === values.provider);
if (provider === undefined) throw new Error(`--provider must be one of ${providers.join(', ')}.`);

const folder = goldensFolder();
const all = findCases(folder);
const names = positionals.length > 0 ? positionals : provider === 'cpu' ? all : all.filter(usesProvider);
const reports: CaseReport[] = [];
// With its last session WebGPU gives up the device and all compiled shaders (ONNX Runtime 1.30). One that stays spares
// the cases to compile the same shaders again for each graph, which takes most of their time.
const held =
  provider === 'cpu' ? null : await createRuntime(provider).load(attentionProbe('primitive').model);
process.stdout.write(`Goldens on ${provider}\n`);
for (const name of names) {
  const report = await runCase(folder, name, provider);
  reports.push(report);
  process.stdout.write(formatReport(report));
}
await held?.release();
process.stdout.write(formatSkippedParts(reports));
const failed = reports.flatMap(failures);
for (const line of failed) process.stderr.write(`${line}\n`);
process.exitCode = failed.length === 0 ? 0 : 1;
