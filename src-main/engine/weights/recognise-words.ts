import { expertNamed, namesExpert } from './experts.ts';
import type { Recognised } from './recognise.ts';

/** What a checkpoint is, as a phrase such as "diffusion model of Wan2.1, text to video". */
export function whatItIs(found: Recognised): string {
  switch (found.family) {
    case 'dit':
      if (found.config.inDim === 48) return 'diffusion model of Wan2.2, TI2V 5B';
      return namesExpert(found.checkpoint)
        ? `diffusion model of Wan2.2, ${expertNamed(found.checkpoint)}-noise expert`
        : 'diffusion model of Wan2.1, text to video';
    case 'vae':
      return found.config.wan22 === undefined ? 'VAE of Wan2.1' : 'VAE of Wan2.2';
    case 'umt5':
      return 'UMT5 text encoder';
    case 'lora':
      return 'LoRA';
  }
}
