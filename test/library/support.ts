import { createHash } from 'node:crypto';
import type {
  AssetRecord,
  JobRecord,
  ProjectRecord,
  TakeRecord,
} from '../../src-main/core/contract/records.ts';
import { sampleProject, sampleTake } from '../support/project.ts';

// Made once: it hashes megabytes of media.
const sample = sampleProject();

export function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** A valid project record; its prompt and assets are the sample's. */
export function projectRecord(id: string, more: Partial<ProjectRecord> = {}): ProjectRecord {
  return { ...sample, id, trashedAt: null, pusaPath: null, ...more };
}

export function assetRecord(id: string, more: Partial<AssetRecord> = {}): AssetRecord {
  return {
    ...sample.assets[0]!,
    id,
    hash: hashOf(id),
    importedAt: '2026-02-03T04:05:06.000Z',
    original: { path: '/media/card/harbour.mov', size: 5000, mtime: '2026-01-01T00:00:00.000Z' },
    state: 'present',
    ...more,
  };
}

export function takeRecord(id: string, projectId: string, more: Partial<TakeRecord> = {}): TakeRecord {
  return {
    ...sampleTake(),
    id,
    projectId,
    rangeId: 'range-1',
    fileHash: hashOf(id),
    rating: 0,
    tags: [],
    promotedClipId: null,
    ...more,
  };
}

export function jobRecord(id: string, projectId: string, more: Partial<JobRecord> = {}): JobRecord {
  return {
    id,
    projectId,
    rangeId: 'range-1',
    state: 'waiting',
    position: 1,
    attempt: 0,
    createdAt: '2026-02-03T04:05:06.000Z',
    startedAt: null,
    finishedAt: null,
    progress: null,
    error: null,
    ...more,
  };
}
