import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { GraphBuilder } from '../../src-main/engine/onnx/graph.ts';
import { add, mul } from '../../src-main/engine/onnx/ops.ts';
import { mulDims, sym } from '../../src-main/engine/onnx/shape.ts';
import { runCanary } from '../../src-main/engine/runtime/canary.ts';
import { reportDevice } from '../../src-main/engine/runtime/device.ts';
import { DeviceLost, runtimeFailure } from '../../src-main/engine/runtime/failures.ts';
import { largeBlock, measureBlock, smallBlock } from '../../src-main/engine/runtime/measure.ts';
import { createRuntime } from '../../src-main/engine/runtime/ort.ts';
import { outputShapes } from '../../src-main/engine/runtime/output-shapes.ts';
import { attentionProbe, blockProbe } from '../../src-main/engine/runtime/probe-graphs.ts';
import { chooseRuntime, providerOrder } from '../../src-main/engine/runtime/providers.ts';
import { deviceReportSchema } from '../../src-main/engine/runtime/report.ts';
import { startProvider } from '../../src-main/engine/runtime/trials.ts';
import { createSupervisor } from '../../src-main/engine/supervisor.ts';
import { nodeFork } from '../../src-main/engine/transport.ts';

// Providers other than the CPU are only started in an engine process of their own: a driver may end it.
const entry = join(import.meta.dirname, '../../src-main/engine/process.ts');
const softwareDriver = '/usr/lib/chromium/vk_swiftshader_icd.json';
const driver = existsSync(softwareDriver) ? softwareDriver : null;
if (driver === null) {
  process.stdout.write(`\nSKIPPED: the canary on WebGPU in software: there is no ${softwareDriver}.\n`);
}

test('output shapes follow from inputs, or are left open', () => {
  const inputs = [
    { stated: ['F', '8*h', 16], actual: [5, 48, 16] },
    { stated: ['2*w + 1'], actual: [9] },
  ];
  expect(outputShapes(inputs, { a: ['F', 'h', 3], b: ['4*F*h + 2', '2*w + 1'], c: ['F*h'] })).toEqual({
    a: [5, 6, 3],
    b: [122, 9],
    c: [30],
  });
  expect(outputShapes(inputs, { a: ['F'], b: ['w'] })).toBeNull();
  expect(outputShapes(inputs, { a: ['4*h + -1*F'] })).toEqual({ a: [19] });
  // A size that is not whole can only come from a wrong symbol.
  expect(outputShapes([{ stated: ['8*h'], actual: [12] }], { a: ['h'] })).toBeNull();
});

test('a graph runs with symbolic sizes, its outputs are its own, and failures are sentences', async () => {
  const graph = new GraphBuilder('doubling');
  const x = graph.input('x', [mulDims(2, sym('n')), 3]);
  graph.output('twice', mul(x, 2));
  graph.output('more', add(x, 1));
  const runtime = createRuntime('cpu');
  const segment = await runtime.load(graph.finish());
  const first = await segment.run({ x: { data: Float32Array.of(1, 2, 3, 4, 5, 6), shape: [2, 3] } });
  const second = await segment.run({ x: { data: new Float32Array(12).fill(7), shape: [4, 3] } });
  expect(first['twice']!.shape).toEqual([2, 3]);
  expect([...first['twice']!.data]).toEqual([2, 4, 6, 8, 10, 12]);
  expect([...first['more']!.data]).toEqual([2, 3, 4, 5, 6, 7]);
  expect(second['twice']!.shape).toEqual([4, 3]);
  expect(second['twice']!.data.every((value) => value === 14)).toBe(true);

  await expect(segment.run({ x: { data: new Float32Array(2), shape: [2, 1] } })).rejects.toMatchObject({
    name: 'PusaError',
    code: 'INTERNAL',
    message: expect.stringContaining('doubling') as string,
  });
  await segment.release();
  const broken = { name: 'broken', bytes: Uint8Array.of(1, 2, 3), weightsFolder: null, quantised: false };
  await expect(runtime.load(broken)).rejects.toMatchObject({ name: 'PusaError', code: 'INTERNAL' });
});

test('what a runtime throws is told by its kind', () => {
  const codeOf = (text: string) => runtimeFailure(new Error(text), 'webgpu', 'block 3').code;
  expect(codeOf('std::bad_alloc')).toBe('OUT_OF_MEMORY');
  expect(codeOf('Failed to allocate memory for requested buffer of size 4096')).toBe('OUT_OF_MEMORY');
  expect(codeOf('Array buffer allocation failed')).toBe('OUT_OF_MEMORY');
  expect(codeOf('pthread_create failed, error code: 12 error msg: Cannot allocate memory')).toBe(
    'OUT_OF_MEMORY',
  );
  expect(codeOf('OOM in queue.submit')).toBe('OUT_OF_MEMORY');
  expect(codeOf('No such file: /mushroom/model.safetensors')).toBe('INTERNAL');
  expect(codeOf('Invalid dimension')).toBe('INTERNAL');
  expect(runtimeFailure(new Error('WebGPU device lost (2)'), 'webgpu', 'block 3')).toBeInstanceOf(DeviceLost);
  expect(() => new Float32Array(2 ** 40)).toThrow(RangeError);
  try {
    new Float32Array(2 ** 40);
  } catch (thrown) {
    expect(runtimeFailure(thrown, 'cpu', 'block 3').code).toBe('OUT_OF_MEMORY');
  }
});

test('every platform ends with the CPU, which always works', async () => {
  for (const platform of ['win32', 'linux', 'darwin', 'freebsd'] as const) {
    expect(providerOrder(platform).at(-1)).toBe('cpu');
  }
  expect((await chooseRuntime({ preferred: 'cpu' })).runtime.provider).toBe('cpu');
  expect((await runCanary('cpu')).forms.attention).toBe('fused');
  const foreign = process.platform === 'win32' ? 'cuda' : 'dml';
  await expect(startProvider(foreign)).rejects.toMatchObject({ code: 'PROVIDER_UNAVAILABLE' });
  const reason = 'It crashed before.';
  await expect(
    chooseRuntime({ preferred: 'webgpu', avoid: [{ provider: 'webgpu', reason }] }),
  ).rejects.toMatchObject({ code: 'PROVIDER_UNAVAILABLE', message: reason });
});

test('both attention forms agree on the CPU, and a block is measured', async () => {
  const runtime = createRuntime('cpu');
  const results = [];
  for (const probe of [attentionProbe('fused'), attentionProbe('primitive')]) {
    const segment = await runtime.load(probe.model);
    results.push((await segment.run(probe.inputs))['y']!.data);
    await segment.release();
  }
  const [fused, primitive] = results;
  expect(fused!.length).toBe(64 * 128);
  expect(Math.max(...fused!.map((value, i) => Math.abs(value - primitive![i]!)))).toBeLessThan(1e-5);
  const block = blockProbe('primitive', smallBlock);
  expect(block.inputs['x']!.shape).toEqual([1, 512, 256]);
  const { milliseconds, gflops, ...size } = await measureBlock(runtime, smallBlock, 1);
  expect(size).toEqual({ provider: 'cpu', tokens: 512, width: 256 });
  expect(milliseconds).toBeGreaterThan(0);
  expect(gflops * milliseconds * 1e6).toBeCloseTo(
    2 * 512 * (4 * 256 ** 2 + 2 * 256 * 1024 + 2 * 512 * 256),
    -1,
  );
  expect(largeBlock.width % largeBlock.heads).toBe(0);
});

test('the report of this machine passes its own schema', async () => {
  const avoid = (['cuda', 'webgpu', 'dml'] as const).map((provider) => ({
    provider,
    reason: 'Not asked for.',
  }));
  const report = deviceReportSchema.parse(await reportDevice({ avoid }));
  expect(report.chosen).toBe('cpu');
  expect(report.providers.map(({ provider }) => provider)).toEqual(providerOrder(process.platform));
  for (const { provider, works, reason, block } of report.providers) {
    expect(works).toBe(provider === 'cpu');
    expect(reason).toBe(works ? null : 'Not asked for.');
    expect(block === null).toBe(!works);
  }
  expect(report.memory.totalBytes).toBeGreaterThan(report.memory.availableBytes);
});

test.skipIf(driver === null)(
  'on a WebGPU adapter whose fused attention is wrong the canary picks the primitive form',
  async () => {
    const env = { ...process.env, VK_ICD_FILENAMES: driver!, VK_DRIVER_FILES: driver! };
    const supervisor = createSupervisor({ entry, fork: nodeFork({ env }) });
    try {
      const report = await supervisor.report();
      const webgpu = report.providers.find(({ provider }) => provider === 'webgpu')!;
      expect(webgpu).toMatchObject({ works: true, forms: { attention: 'primitive' } });
      // A driver in software works, and is passed over because the processor itself is quicker.
      expect(report.chosen).toBe('cpu');
    } finally {
      await supervisor.close();
    }
  },
);
