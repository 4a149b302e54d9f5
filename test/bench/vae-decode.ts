// One decode by a VAE of the real widths in a process of its own: prints its peak memory and seconds as JSON.
// Arguments: folder of weights.safetensors, height, width, frames.
import { createRuntime } from '../../src-main/engine/runtime/ort.ts';
import { checkpointWeights } from '../../src-main/engine/wan/checkpoint-weights.ts';
import { createVideoCodec } from '../../src-main/engine/wan/vae.ts';
import { openSafetensors } from '../../src-main/engine/weights/safetensors.ts';
import { randomValues } from './support.ts';
import { wanVae } from '../support/real-configs.ts';

const [folder = '', ...numbers] = process.argv.slice(2);
const [height = 0, width = 0, frames = 0] = numbers.map(Number);
const checkpoint = await openSafetensors(`${folder}/weights.safetensors`);
const codec = createVideoCodec(createRuntime('cpu'), wanVae, checkpointWeights(checkpoint, folder));
const shape = [wanVae.zDim, (frames - 1) / 4 + 1, height / 8, width / 8];
const latents = {
  data: randomValues(
    shape.reduce((a, b) => a * b, 1),
    1,
    1,
  ),
  shape,
};
let decoded = 0;
const start = performance.now();
await codec.decode(latents, null, ({ shape: [, count = 0] }) => {
  decoded += count;
});
const seconds = (performance.now() - start) / 1000;
// Kilobytes, the pages of mapped weight files included.
const peakBytes = process.resourceUsage().maxRSS * 1024;
process.stdout.write(`${JSON.stringify({ decoded, seconds, peakBytes })}\n`);
process.exit(0);
