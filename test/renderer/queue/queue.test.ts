import { describe, expect, it } from 'vitest';
import { studioSteps } from '../../../src-main/core/contract/api/projects.ts';
import { noticeCodes } from '../../../src-main/core/contract/api/settings.ts';
import { noteCodes } from '../../../src-main/core/contract/note.ts';
import type { Progress } from '../../../src-main/core/contract/job.ts';
import type { JobRecord, TakeSummary } from '../../../src-main/core/contract/records.ts';
import { setLanguage } from '../../../src-renderer/src/i18n/index.svelte.ts';
import { noteText, noticeText, sentenceText, stepText } from '../../../src-renderer/src/i18n/told.ts';
import {
  comparable,
  correction,
  gridColumns,
  ratingOfKey,
  varying,
} from '../../../src-renderer/src/queue/compare.ts';
import {
  jobTitle,
  progressOf,
  progressView,
  queueFraction,
  queueView,
  reorderBefore,
  shownJob,
  takeOfJob,
} from '../../../src-renderer/src/queue/jobs.ts';
import { costLines, lateBy } from '../../../src-renderer/src/queue/report.ts';
import { previewPicture } from '../../../src-renderer/src/queue/preview.ts';
import { project, range } from '../../core/fixtures.ts';

function job(
  id: string,
  state: JobRecord['state'],
  position: number,
  more: Partial<JobRecord> = {},
): JobRecord {
  return {
    id,
    projectId: 'p',
    rangeId: 'r',
    state,
    position,
    attempt: 1,
    createdAt: '2026-01-01T00:00:00.000Z',
    startedAt: null,
    finishedAt: null,
    progress: null,
    error: null,
    ...more,
  };
}

function take(id: string, createdAt: string, more: Partial<TakeSummary> = {}): TakeSummary {
  return {
    id,
    projectId: 'p',
    rangeId: 'r',
    fileHash: '0'.repeat(64),
    rating: 0,
    tags: [],
    promotedClipId: null,
    createdAt,
    prompt: '',
    width: 96,
    height: 96,
    fps: 8,
    partial: false,
    ...more,
  };
}

const denoising: Progress = { phase: 'denoise', done: 5, total: 10, secondsLeft: 33, fraction: 0.5 };

describe('the queue', () => {
  const jobs = [
    job('done', 'done', 1, { finishedAt: '2026-01-01T00:00:05.000Z' }),
    job('third', 'waiting', 9),
    job('running', 'running', 2),
    job('first', 'paused', 3),
    job('second', 'waiting', 4.5),
    job('failed', 'failed', 0, { finishedAt: '2026-01-01T00:00:09.000Z' }),
  ];
  const view = queueView(jobs);

  it('is in its order, and what is over the latest first', () => {
    const ids = (of: readonly JobRecord[]): string[] => of.map(({ id }) => id);
    expect(ids(view.running)).toEqual(['running']);
    expect(ids(view.waiting)).toEqual(['first', 'second', 'third']);
    expect(ids(view.history)).toEqual(['failed', 'done']);
  });

  it('is moved in', () => {
    expect(reorderBefore(view.waiting, 'third', 0)).toBe('first');
    expect(reorderBefore(view.waiting, 'first', 1)).toBe('third');
    expect(reorderBefore(view.waiting, 'first', 2)).toBeNull();
    expect(reorderBefore(view.waiting, 'first', 99)).toBeNull();
    expect(reorderBefore(view.waiting, 'first', -1)).toBeUndefined();
    expect(reorderBefore(view.waiting, 'gone', 1)).toBeUndefined();
  });

  it('is done in part: what runs of it, not what is paused', () => {
    expect(queueFraction(view, new Map([['running', denoising]]))).toBeCloseTo(0.5 / 3);
    expect(queueFraction(queueView([]), new Map())).toBe(0);
  });

  it('shows the job of the range that is looked at', () => {
    expect(shownJob(view.running, 'p', 'r')?.id).toBe('running');
    expect(shownJob(view.running, 'p', 'other')).toBeNull();
    expect(shownJob(view.running, 'other', 'r')).toBeNull();
  });
});

describe('a job', () => {
  it('counts the step that runs', () => {
    expect(progressView(denoising)).toEqual({
      phase: 'denoise',
      step: { at: 6, of: 10 },
      secondsLeft: 33,
      fraction: 0.5,
    });
    expect(progressView({ ...denoising, done: 10 }).step).toEqual({ at: 10, of: 10 });
    expect(progressView({ ...denoising, phase: 'decode' }).step).toBeNull();
    expect(progressView(null)).toMatchObject({ phase: 'start', secondsLeft: null });
    const known = job('j', 'running', 1, { progress: { ...denoising, done: 1 } });
    expect(progressOf(known, new Map())?.done).toBe(1);
    expect(progressOf(known, new Map([['j', denoising]]))?.done).toBe(5);
  });

  it('is called by what it was frozen with, else by what its range says', () => {
    const of = { ...project(), ranges: [range(17, [], { prompt: 'A  boat\nat dusk' })] };
    const frozen = {
      jobId: 'j',
      prompt: 'A cube',
      negativePrompt: '',
      sampler: range(17).sampler,
      width: 96,
      height: 96,
      fps: 8,
      frames: 17,
      model: 'm',
    };
    expect(jobTitle(job('j', 'waiting', 1), frozen, of)).toBe('A cube');
    expect(jobTitle(job('j', 'waiting', 1), undefined, of)).toBe('A boat at dusk');
    expect(jobTitle(job('j', 'waiting', 1, { projectId: 'other' }), undefined, of)).toBeNull();
  });

  it('is found its take, by range and time', () => {
    const done = job('j', 'done', 1, {
      startedAt: '2026-01-01T00:00:10.000Z',
      finishedAt: '2026-01-01T00:00:20.000Z',
    });
    const takes = [
      take('early', '2026-01-01T00:00:05.000Z'),
      take('its', '2026-01-01T00:00:20.500Z'),
      take('other', '2026-01-01T00:00:15.000Z', { rangeId: 'x' }),
      take('later', '2026-01-01T00:00:40.000Z'),
    ];
    expect(takeOfJob(done, takes)?.id).toBe('its');
    expect(takeOfJob(done, takes.slice(0, 1))).toBeNull();
  });
});

describe('what a job cost', () => {
  const cost = (forecast: number | null, actual: number | null): Pick<JobRecord, 'cost'> => ({
    cost: {
      forecast: { seconds: forecast, memoryBytes: 2e9 },
      actual: { seconds: actual, memoryBytes: null },
    },
  });

  it('stands beside its forecast, as far as either is known', () => {
    expect(costLines({})).toEqual([]);
    expect(costLines(cost(null, null))).toEqual([{ of: 'memory', forecast: 2e9, actual: null }]);
    const running = { cost: { forecast: { seconds: 40, memoryBytes: null }, actual: null } };
    expect(costLines(running)).toEqual([{ of: 'time', forecast: 40, actual: null }]);
    expect(costLines(cost(40, 60))).toEqual([
      { of: 'time', forecast: 40, actual: 60 },
      { of: 'memory', forecast: 2e9, actual: null },
    ]);
  });

  it('is worth a word where it took much longer', () => {
    expect(lateBy(cost(40, 100))).toBe(2.5);
    expect(lateBy(cost(40, 50))).toBeNull();
    // The start of a short one takes as long as all of it.
    expect(lateBy(cost(2, 6))).toBeNull();
    expect(lateBy(cost(null, 100))).toBeNull();
    expect(lateBy({})).toBeNull();
  });
});

describe('what the studio says', () => {
  const tiles = { phase: 'decode', rows: 30, columns: 52 };

  it('is said in the window’s language by its code, and as it is where that is not known', () => {
    const note = { code: 'MEMORY_TILES', text: 'The studio’s own.', values: tiles } as const;
    expect(noteText(note)).toMatch(/while frames were decoded.*30×52/);
    expect(noteText({ code: null, text: 'An old note.', values: {} })).toBe('An old note.');
    expect(stepText(studioSteps.deleteTake)).toBe('Delete a take');
    expect(stepText('Move clips')).toBe('Move clips');
    expect(sentenceText('It is your own file.')).toBe('It is your own file.');
    try {
      setLanguage('zh-CN');
      expect(noteText(note)).toMatch(/解码画面时.*30×52/);
      for (const code of noteCodes) expect(noteText({ ...note, code }), code).not.toMatch(/[a-z]{3}|\{/i);
      for (const step of Object.values(studioSteps)) expect(stepText(step), step).toMatch(/成片/);
      for (const code of noticeCodes) {
        const told = noticeText({
          code,
          values: { name: 'Boats', count: 2 },
          message: 'English',
          remedy: 'English',
        });
        expect(`${told.message}${told.remedy}`, code).not.toMatch(/English|\{/);
      }
      expect(noticeText({ code: 'DISK_FULL', values: {}, message: 'Full.', remedy: 'Free.' })).toMatchObject({
        message: '磁盘已满。',
        detail: 'Full.',
      });
      expect(sentenceText('“Boats” uses it too.')).toBe('“Boats”也在使用。');
      expect(sentenceText('Something nobody foresaw.')).toBe('Something nobody foresaw.');
    } finally {
      setLanguage('en');
    }
  });
});

describe('takes that are compared', () => {
  it('are those of a range, the latest first', () => {
    const takes = [
      take('a', '2026-01-01T00:00:01.000Z'),
      take('b', '2026-01-01T00:00:03.000Z'),
      take('x', '2026-01-01T00:00:09.000Z', { rangeId: 'x' }),
      take('c', '2026-01-01T00:00:02.000Z'),
    ];
    expect(comparable(takes, 'r', 2).map(({ id }) => id)).toEqual(['b', 'c']);
  });

  it('fill the room', () => {
    expect(gridColumns(1, 1200, 700, 16 / 9)).toBe(1);
    expect(gridColumns(4, 1200, 700, 16 / 9)).toBe(2);
    expect(gridColumns(4, 1200, 400, 9 / 16)).toBe(4);
    expect(gridColumns(0, 0, 0, 1)).toBe(1);
  });

  it('follow the longest, and wait at their end', () => {
    const leader = { currentTime: 2, duration: 5, paused: false };
    expect(correction(leader, { currentTime: 2.05, duration: 5, paused: false })).toBeNull();
    expect(correction(leader, { currentTime: 1.5, duration: 5, paused: false })).toBe(2);
    expect(correction(leader, { currentTime: 1, duration: 1, paused: true })).toBeNull();
    expect(correction(leader, { currentTime: 0.4, duration: 1, paused: false })).toBe(1);
    expect(correction(leader, { currentTime: 0, duration: Number.NaN, paused: true })).toBeNull();
  });

  it('are told apart by what differs, else by the seed', () => {
    const { sampler } = range(17);
    expect(varying([sampler, { ...sampler, steps: 4, cfg: 1 }])).toEqual(['steps', 'cfg']);
    expect(varying([sampler, sampler])).toEqual(['seed']);
    expect(varying([])).toEqual(['seed']);
  });

  it('are rated by number keys', () => {
    expect(['0', '5', '6', 'a', '12'].map(ratingOfKey)).toEqual([0, 5, null, null, null]);
  });
});

it('a preview becomes a picture, one cell of it', () => {
  const rgb = Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  const preview = { jobId: 'j', cells: 2, width: 2, height: 1, rgb };
  expect([...previewPicture(preview, 0)]).toEqual([1, 2, 3, 255, 4, 5, 6, 255]);
  expect([...previewPicture(preview, 1)]).toEqual([7, 8, 9, 255, 10, 11, 12, 255]);
  expect([...previewPicture(preview, 99)]).toEqual([...previewPicture(preview, 1)]);
});
