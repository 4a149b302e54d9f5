import { basename } from 'node:path';
import { convertedEnding } from '../engine/weights/describe-package.ts';
import { expertOf, expertsOf } from '../engine/weights/manifest.ts';
import { openPackage, type ModelPackage } from '../engine/weights/package.ts';
import { listShelf } from '../studio/model-shelf.ts';
import type { ModelWorkplace } from '../studio/model-work/runner.ts';

/** Says what a new model consists of and what can be done with it now. */
export async function sayReady(
  at: Pick<ModelWorkplace, 'dataFolder' | 'places'>,
  id: string,
  json: boolean,
): Promise<void> {
  const shelved = (await listShelf(at.dataFolder, at.places)).find((one) => one.id === id);
  if (json) {
    process.stdout.write(`${JSON.stringify({ id, folder: shelved?.folder })}\n`);
    return;
  }
  const model = await openPackage(shelved!.folder);
  process.stdout.write(`${partsOf(model).join('\n')}\n`);
  process.stdout.write(`"${id}" is ready.\n${nextOf(model).join('\n')}\n`);
}

/** Which file plays which part. */
function partsOf({ manifest }: ModelPackage): string[] {
  const { textEncoder, tokenizer, vae } = manifest;
  const rows: [string, string][] = [];
  for (const expert of expertsOf(manifest)) {
    const { dit, loras } = expertOf(manifest, expert);
    const which = manifest.lowNoise === undefined ? '' : ` (${expert} noise)`;
    rows.push([`Diffusion model${which}`, nameOf(dit.open)]);
    for (const { name, defaultStrength, live } of loras) {
      rows.push([
        `LoRA${which}`,
        `${name}, strength ${defaultStrength}${live ? ', free in each render' : ''}`,
      ]);
    }
  }
  rows.push(['VAE', nameOf(vae.file.path)], ['Text encoder', nameOf(textEncoder.open)]);
  rows.push(['Tokenizer', tokenizer.from === 'file' ? nameOf(tokenizer.file.path) : 'in the text encoder']);
  const width = Math.max(...rows.map(([label]) => label.length));
  return rows.map(([label, value]) => `${label.padEnd(width)}  ${value}`);
}

function nameOf(path: string): string {
  const name = basename(path);
  return name.endsWith(convertedEnding)
    ? `${name.slice(0, -convertedEnding.length)} (converted to float16)`
    : name;
}

/** Width of the 14B models, the ones that Pusa's LoRAs are made for (spec §1.1). */
const pusaWidth = 5120;

/** What a person can do now. */
function nextOf({ manifest }: ModelPackage): string[] {
  const { id, baked, loras, dit } = manifest;
  const lines: string[] = [];
  if (dit.config.dim === pusaWidth && loras.length === 0 && baked === undefined) {
    lines.push(
      'It has no Pusa LoRA, without which fixed and interpolated frames are followed poorly: import it again with Pusa/Wan21_PusaV1_LoRA_14B_rank512_bf16.safetensors of Kijai/WanVideo_comfy.',
    );
  }
  if (baked === undefined) {
    lines.push(`Where memory is short: npm run pusa -- models bake ${id} --to ${id.slice(0, 58)}-int8`);
  }
  lines.push(`Next: npm run render -- clip.mp4 --model ${id} --prompt "A boat at sunset"`);
  return lines;
}
