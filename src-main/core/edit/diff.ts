import { z } from 'zod';
import {
  assetSchema,
  clipSchema,
  idSchema,
  markerSchema,
  projectSchema,
  rangeSchema,
  trackSchema,
  type Project,
} from '../contract/project.ts';
import { withMarkers, withTracks } from './records.ts';

const listChange = <T extends z.ZodType>(record: T, most: number) =>
  z.strictObject({
    /** New records, and those that changed. */
    put: z.array(record).max(most),
    removed: z.array(idSchema).max(most),
    /** All ids as they stand afterwards, when putting new ones last does not give that order. */
    order: z.array(idSchema).max(most).optional(),
  });

/** What an edit changed in a project: enough to make the new one from the old. */
export const projectChangeSchema = z.strictObject({
  fields: projectSchema
    .pick({ name: true, width: true, height: true, fps: true, modifiedAt: true })
    .partial(),
  assets: listChange(assetSchema, 100_000).optional(),
  clips: listChange(clipSchema, 100_000).optional(),
  ranges: listChange(rangeSchema, 10_000).optional(),
  // All of them as they stand afterwards.
  markers: z.array(markerSchema).max(1000).optional(),
  tracks: z.array(trackSchema).max(64).optional(),
});
export type ProjectChange = z.infer<typeof projectChangeSchema>;

interface Identified {
  readonly id: string;
}

interface ListChange<T> {
  put: T[];
  removed: string[];
  order?: string[] | undefined;
}

/** What changed between two states of a project. Records that are the same object are not looked into. */
export function diffProjects(before: Project, after: Project): ProjectChange {
  const assets = diffLists(before.assets, after.assets);
  const clips = diffLists(before.clips, after.clips);
  const ranges = diffLists(before.ranges, after.ranges);
  return {
    fields: {
      ...(before.name === after.name ? {} : { name: after.name }),
      ...(before.width === after.width ? {} : { width: after.width }),
      ...(before.height === after.height ? {} : { height: after.height }),
      ...(before.fps === after.fps ? {} : { fps: after.fps }),
      ...(before.modifiedAt === after.modifiedAt ? {} : { modifiedAt: after.modifiedAt }),
    },
    ...(assets === null ? {} : { assets }),
    ...(clips === null ? {} : { clips }),
    ...(ranges === null ? {} : { ranges }),
    ...(JSON.stringify(before.markers) === JSON.stringify(after.markers)
      ? {}
      : { markers: after.markers ?? [] }),
    ...(JSON.stringify(before.tracks) === JSON.stringify(after.tracks) ? {} : { tracks: after.tracks ?? [] }),
  };
}

/** The project after a change: `changeProject(a, diffProjects(a, b))` is b. */
export function changeProject(project: Project, change: ProjectChange): Project {
  const { name, width, height, fps, modifiedAt } = change.fields;
  let changed: Project = {
    ...project,
    name: name ?? project.name,
    width: width ?? project.width,
    height: height ?? project.height,
    fps: fps ?? project.fps,
    modifiedAt: modifiedAt ?? project.modifiedAt,
    assets: changeList(project.assets, change.assets),
    clips: changeList(project.clips, change.clips),
    ranges: changeList(project.ranges, change.ranges),
  };
  if (change.markers !== undefined) changed = withMarkers(changed, change.markers);
  if (change.tracks !== undefined) changed = withTracks(changed, change.tracks);
  return changed;
}

function diffLists<T extends Identified>(before: readonly T[], after: readonly T[]): ListChange<T> | null {
  if (before === after) return null;
  const old = new Map(before.map((record) => [record.id, record]));
  const put = after.filter((record) => {
    const other = old.get(record.id);
    return other !== record && JSON.stringify(other) !== JSON.stringify(record);
  });
  const kept = new Set(after.map(({ id }) => id));
  const removed = before.filter(({ id }) => !kept.has(id)).map(({ id }) => id);
  const change = { put, removed };
  const ids = changeList([...before], change).map(({ id }) => id);
  const inOrder = after.every(({ id }, index) => ids[index] === id);
  if (inOrder) return put.length + removed.length === 0 ? null : change;
  return { ...change, order: after.map(({ id }) => id) };
}

function changeList<T extends Identified>(records: T[], change: ListChange<T> | undefined): T[] {
  if (change === undefined) return records;
  const put = new Map(change.put.map((record) => [record.id, record]));
  const removed = new Set(change.removed);
  const all = records.filter(({ id }) => !removed.has(id)).map((record) => put.get(record.id) ?? record);
  const there = new Set(records.map(({ id }) => id));
  all.push(...change.put.filter(({ id }) => !there.has(id)));
  if (change.order === undefined) return all;
  const byId = new Map(all.map((record) => [record.id, record]));
  return change.order.flatMap((id) => byId.get(id) ?? []);
}
