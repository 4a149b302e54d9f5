// Makes the bundled sample project from the sample media: node build/make-samples.ts
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { writePusaFile } from '../src-main/library/pusa-file.ts';
import { findModel } from '../src-main/studio/models.ts';
import { findPlaces } from '../src-main/studio/places.ts';
import { projectOfFiles } from '../src-main/studio/project-from-files.ts';

const { resources } = findPlaces();
const samples = join(resources, 'samples');
const model = await findModel(join(resources, 'models'));
const { native, recommended } = model.manifest;

// A picture at the start and a clip at the end: one still and one moving source, and a way between them.
const { project, findMedia } = await projectOfFiles({
  name: 'First project',
  image: join(samples, 'media', 'harbour.png'),
  endVideo: join(samples, 'media', 'boat.mp4'),
  keyframes: [],
  fit: 'crop',
  width: native.width,
  height: native.height,
  fps: native.fps,
  frames: native.frames,
  preset: 'start-end',
  prompt: 'a red boat sails through the harbour at sunset',
  sampler: { seed: 7 },
  recommended,
});
const media = await Promise.all(
  project.assets.map(async (asset) => {
    const path = await findMedia(asset);
    return { hash: asset.hash, open: () => createReadStream(path) };
  }),
);
await writePusaFile(join(samples, 'first.pusa'), {
  // Fixed, so that making the samples again changes nothing.
  project: {
    ...project,
    id: 'first-project',
    createdAt: '2026-11-23T00:00:00.000Z',
    modifiedAt: '2026-11-23T00:00:00.000Z',
  },
  media,
  takes: [],
});
