// Makes the bundled samples, media and projects, from scenes of the starter model's world:
//   node build/make-samples.ts FOLDER     (FOLDER: what `train.py` exported as samples)
import { createReadStream } from 'node:fs';
import { copyFile, mkdir, readdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import sharp from 'sharp';
import type { PresetId } from '../src-main/core/contract/project.ts';
import { writePusaFile } from '../src-main/library/pusa-file.ts';
import { encodeTake } from '../src-main/media/encode.ts';
import { openPackage } from '../src-main/engine/weights/package.ts';
import { defaultModel } from '../src-main/studio/model-shelf.ts';
import { findPlaces } from '../src-main/studio/places.ts';
import { projectOfFiles, type ProjectWish } from '../src-main/studio/project-from-files.ts';

const from = resolve(process.argv[2] ?? '.training/export/samples');
const { resources } = findPlaces();
const samples = join(resources, 'samples');
const media = join(samples, 'media');
const model = await openPackage(join(resources, 'models', defaultModel));
const { native, recommended } = model.manifest;

/** Frames first … last of a scene as an mp4. */
async function clip(name: string, scene: string, first: number, last: number): Promise<string> {
  const names = (await readdir(join(from, scene))).sort().slice(first, last + 1);
  async function* frames(): AsyncGenerator<Uint8Array> {
    for (const frame of names)
      yield await sharp(join(from, scene, frame))
        .removeAlpha()
        .raw()
        .toBuffer();
  }
  const path = join(media, `${name}.mp4`);
  const { width, height, fps } = native;
  await encodeTake({ frames: frames(), width, height, fps, path, metadata: '{}' });
  return path;
}

/** One frame of a scene as a picture. */
async function picture(name: string, scene: string, end: 'first' | 'last'): Promise<string> {
  const path = join(media, `${name}.png`);
  await copyFile(join(from, `${scene}_${end}.png`), path);
  return path;
}

type Sources = Partial<Pick<ProjectWish, 'image' | 'video' | 'endImage' | 'endVideo' | 'keyframes'>>;

async function sample(
  file: string,
  name: string,
  preset: PresetId,
  prompt: string,
  sources: Sources,
  { marks, cfg }: { readonly marks?: string; readonly cfg?: number } = {},
): Promise<void> {
  const { project, findMedia } = await projectOfFiles({
    keyframes: [],
    ...sources,
    name,
    preset,
    prompt,
    fit: 'crop',
    width: native.width,
    height: native.height,
    fps: native.fps,
    frames: native.frames,
    negativePrompt: '',
    sampler: { seed: 7, ...(cfg === undefined ? {} : { cfg }) },
    marks,
    recommended,
  });
  const files = await Promise.all(
    project.assets.map(async (asset) => {
      const path = await findMedia(asset);
      return { hash: asset.hash, open: () => createReadStream(path) };
    }),
  );
  // Fixed id and times, so that making the samples again changes nothing that was not changed.
  const date = '2026-11-23T00:00:00.000Z';
  await writePusaFile(join(samples, `${file}.pusa`), {
    project: { ...project, id: `sample-${file}`, createdAt: date, modifiedAt: date },
    media: files.filter(({ hash }, i) => files.findIndex((other) => other.hash === hash) === i),
    takes: [],
  });
}

await rm(samples, { recursive: true, force: true });
await mkdir(media, { recursive: true });
const way = 'a blue star slides from right to left on a green meadow';
const right = await picture('blue-star-right', 'start_end', 'first');
const left = await picture('blue-star-left', 'start_end', 'last');
const arrival = await clip('blue-star-arrives', 'start_end', 13, 16);
await sample('first', 'First project', 'start-end', way, { image: right, endVideo: arrival });
await sample('start-end', 'From here to there', 'start-end', way, { image: right, endImage: left });
const slide = 'a blue cube slides from left to right on a green meadow';
const whole = await clip('blue-cube', 'clip', 0, 16);
await sample('complete', 'First and last frames kept', 'complete', slide, { video: whole });
// The preset keeps more of the clip (0.7); words need more room to give it another colour.
const recolour = { marks: '0-16=0.85', cfg: 3 };
await sample(
  'restyle',
  'Another colour',
  'restyle',
  slide.replace('blue', 'red'),
  { video: whole },
  recolour,
);
await sample(
  'image-to-video',
  'A picture comes alive',
  'image-to-video',
  'a green cube bounces up and down in front of a blue wall',
  {
    image: await picture('green-cube', 'image_to_video', 'first'),
  },
);
const gold = await picture('gold-ball', 'colour_change', 'first');
const white = await picture('white-ball', 'colour_change', 'last');
await sample(
  'gold-to-white',
  'Gold turns white',
  'image-to-video',
  'a gold ball turns white on a green meadow',
  { image: gold },
);
await sample('keyframes', 'Three pictures', 'keyframes', 'a gold ball turns white on a green meadow', {
  keyframes: [
    { frame: 0, path: gold },
    { frame: 4, path: gold },
    { frame: 16, path: white },
  ],
});
await sample('extend', 'The cube grows on', 'extend', 'a white cube grows bigger on a warm floor', {
  video: await clip('white-cube', 'extension', 0, 8),
});
await sample(
  'transition',
  'Two clips become one',
  'transition',
  'a green ball slides from left to right in front of a blue wall',
  {
    video: await clip('green-ball-leaves', 'transition_a', 0, 16),
    endVideo: await clip('green-ball-comes', 'transition_b', 0, 16),
  },
);
await sample(
  'text-to-video',
  'From words alone',
  'text-to-video',
  'a red star slides from left to right on a green meadow',
  {},
);
