import { basename, dirname } from 'node:path';

const endings = /(\.(safetensors|index\.json|pth|pt|gguf|pusa))+$/i;
/** Names that say nothing of the model: those of Diffusers, of Wan and of our own bakes, and of folders. */
const generic =
  /^((diffusion_pytorch_)?model|dit|transformer(_2)?|(high|low)_noise_model|diffusion-model(-low-noise)?(\.(F32|F16|int8|int4))?)$/i;

/** A file's name without what says its format. */
export function weightsName(path: string): string {
  return basename(path).replace(endings, '');
}

/**
 * What to call a model by the path of its diffusion model or of its folder: the file's name, or where that says nothing
 * the repository's in Hugging Face's cache or the folder's.
 * @param isPair the file is one of two experts: its name is left out
 */
export function modelName(path: string, isPair = false): string {
  const file = weightsName(path);
  const repository = /models--[^/\\]+?--([^/\\]+)[/\\]/.exec(path)?.[1] ?? '';
  const folders = [dirname(path), dirname(dirname(path))].map((folder) => basename(folder));
  const name = [file, repository, ...folders].find((one) => one !== '' && !generic.test(one)) ?? file;
  const shown = (isPair && name.replace(/[-_. ]?high([-_ ]?noise)?/i, '')) || name || 'model';
  return shown.slice(0, 200).trim();
}
