import { mount } from 'svelte';
import type { JobRecord, TakeSummary } from '../../../../src-main/core/contract/records.ts';
import { setLanguage } from '../../../../src-renderer/src/i18n/index.svelte.ts';
import { Session } from '../../../../src-renderer/src/state/session.svelte.ts';
import { theme } from '../../../../src-renderer/src/state/theme.svelte.ts';
import '../../../../src-renderer/src/theme.css';
import Page from './Page.svelte';
import { largeProject, transitionProject } from './projects.ts';
import { smallStudio } from './studio.ts';

/** `?project=large|transition|empty`, `theme=light`, `lang=zh`, `takes=2`, `step=6`. */
const wanted = new URLSearchParams(location.search);
const sample = transitionProject();
const project =
  wanted.get('project') === 'large'
    ? largeProject()
    : wanted.get('project') === 'empty'
      ? { ...sample, clips: [], ranges: [], assets: [] }
      : sample;
if (wanted.get('lang') === 'zh') setLanguage('zh-CN');
theme.obey({ theme: wanted.get('theme') === 'light' ? 'light' : 'dark', reducedMotion: null });

const session = new Session(smallStudio(project));
session.show({ project, revision: 0, steps: { undo: null, redo: null }, trashedAt: null, pusaPath: null });
const rangeId = project.ranges[0]?.id ?? 'none';
session.takes = Array.from({ length: Number(wanted.get('takes') ?? 0) }, (_, i): TakeSummary => ({
  id: `take-${i}`,
  projectId: project.id,
  rangeId,
  fileHash: 'a'.repeat(64),
  rating: i === 0 ? 4 : 0,
  tags: [],
  promotedClipId: null,
  createdAt: project.createdAt,
  prompt: '',
  width: 832,
  height: 480,
  fps: 16,
  partial: i === 1,
}));
session.takeId = session.takes[0]?.id ?? null;
if (wanted.has('step')) {
  session.jobs = [
    {
      id: 'job',
      projectId: project.id,
      rangeId,
      state: 'running',
      position: 0,
      attempt: 1,
      createdAt: project.createdAt,
      startedAt: project.createdAt,
      finishedAt: null,
      progress: {
        phase: 'denoise',
        done: Number(wanted.get('step')),
        total: 10,
        secondsLeft: null,
        fraction: 0.5,
      },
      error: null,
    } satisfies JobRecord,
  ];
}
Object.assign(globalThis, { session });
mount(Page, { target: document.getElementById('app')!, props: { session } });
