import type { Asset, Clip, Project, Range } from '../core/contract/project.ts';
import { PusaError } from '../core/errors.ts';
import { planRange } from '../core/plan/range.ts';
import { checkSize } from '../core/plan/size.ts';
import type { SourcePass } from '../core/timeline/sources.ts';
import { sizeMultipleOf, type Manifest } from '../engine/weights/manifest.ts';
import { createJobFolder, type JobDraft, type SourcePixels } from '../engine/pipeline/job-folder.ts';
import { openSource, type FrameSource } from '../media/frames.ts';
import { software } from './software.ts';

/** Finds the file of an asset: in the library, in an opened project file, or where the command line said. */
export type FindMedia = (asset: Asset) => Promise<string>;

/**
 * Freezes a range into a self-contained job: afterwards the original media may vanish (DESIGN §5).
 * @param folder made for this job; it must not hold one already
 * @param model the package that will run it
 * @throws PusaError of the plan, of the media, MODEL_CANNOT for a size it has no latents for, or DISK_FULL
 */
export async function freezeJob(
  project: Project,
  range: Range,
  model: Pick<Manifest, 'id' | 'hash' | 'vae'>,
  findMedia: FindMedia,
  folder: string,
  jobId: string,
): Promise<void> {
  checkSize(project.width, project.height, sizeMultipleOf(model));
  const { plan, sources } = planRange(project, range);
  const draft: JobDraft = {
    version: 1,
    id: jobId,
    software,
    createdAt: new Date().toISOString(),
    width: project.width,
    height: project.height,
    fps: project.fps,
    prompt: range.prompt,
    negativePrompt: range.negativePrompt,
    sampler: range.sampler,
    plan,
    model: { id: model.id, hash: model.hash },
    sources: sources.passes.map(({ firstCell, cells, dropCells, frames }) => ({
      firstCell,
      cells,
      dropCells,
      frameCount: frames.length,
    })),
    originals: sources.originals.map((original) => ({ ...original })),
  };
  const media = new MediaOfProject(project, findMedia);
  await createJobFolder(
    folder,
    draft,
    sources.passes.map((pass) => media.pixels(pass)),
  );
}

/** Opens each asset of a project once. */
class MediaOfProject {
  private readonly opened = new Map<string, Promise<FrameSource>>();
  private readonly project: Project;
  private readonly findMedia: FindMedia;

  constructor(project: Project, findMedia: FindMedia) {
    this.project = project;
    this.findMedia = findMedia;
  }

  /** RGB8 frames of a pass, one after the other. All frames of a pass come from one clip. */
  async *pixels(pass: SourcePass): SourcePixels & AsyncGenerator<Uint8Array> {
    const clip = this.project.clips.find(({ id }) => id === pass.frames[0]?.clipId);
    const asset = this.project.assets.find(({ id }) => id === clip?.assetId);
    if (clip === undefined || asset === undefined) {
      throw new PusaError(
        'PROJECT_INVALID',
        'A clip of the range shows an asset that is not in the project.',
        'Remove the clip and add its file again.',
      );
    }
    yield* this.frames(clip, asset, pass);
  }

  private async *frames(clip: Clip, asset: Asset, pass: SourcePass): AsyncGenerator<Uint8Array> {
    let source = this.opened.get(asset.id);
    if (source === undefined) {
      source = this.findMedia(asset).then((path) =>
        openSource(path, asset.kind === 'sequence' ? { sequenceFps: asset.fps } : {}),
      );
      this.opened.set(asset.id, source);
    }
    const times = pass.frames.map(({ time }) => time ?? 0);
    const { width, height } = this.project;
    yield* (await source).frames(times, { width, height }, clip.fit);
  }
}
