import { parseProject, validateProject } from '../../../src-main/core/contract/validate-project.ts';
import { sampleProject } from '../../support/project.ts';
import {
  explain,
  jsonChanged,
  WronglyAccepted,
  type JsonChange,
  type Random,
  type Target,
} from '../mutate.ts';

/** A change that only references betray: each field alone is of the right shape. */
function referenceChanged(random: Random): JsonChange {
  const project = sampleProject();
  const clip = project.clips[1]!;
  const { marks } = project.ranges[0]!;
  const changes: readonly (readonly [field: string, change: string, apply: () => unknown])[] = [
    ['clips[1].assetId', 'an asset that is not there', () => (clip.assetId = 'moon')],
    ['clips[1].id', 'an id twice', () => (clip.id = project.clips[0]!.id)],
    ['assets[1].id', 'an id twice', () => (project.assets[1]!.id = project.assets[0]!.id)],
    ['ranges[1].id', 'an id twice', () => project.ranges.push(structuredClone(project.ranges[0]!))],
    ['ranges[0].marks[3].frame', 'outside its range', () => (marks[3]!.frame = 21)],
    ['ranges[0].marks[1].frame', 'marked twice', () => (marks[1]!.frame = marks[0]!.frame)],
    ['ranges[0].frames', 'shorter than its marks', () => (project.ranges[0]!.frames = 5)],
    ['assets', 'removed under the clips', () => (project.assets = [])],
  ];
  const [field, change, apply] = random.pick(changes);
  apply();
  return { field, change, mustRefuse: true, value: project };
}

/** A project as another process or a request hands it over: values, not text, so NaN is one. */
export const projects: Target = {
  name: 'project',
  share: 3,
  prepare() {
    const mutant = ({ field, change, mustRefuse, value }: JsonChange) => ({
      field,
      change,
      mustRefuse,
      feed: () => {
        const project = validateProject(value);
        if (!parseProject(JSON.parse(JSON.stringify(project))).ok)
          throw new WronglyAccepted('it cannot be saved');
        return Promise.resolve(explain(sampleProject(), project));
      },
    });
    return Promise.resolve({
      sound: mutant({ field: 'nothing', change: 'none', mustRefuse: false, value: sampleProject() }),
      draw: (random, index) =>
        Promise.resolve(
          mutant(index % 4 === 3 ? referenceChanged(random) : jsonChanged(random, sampleProject())),
        ),
    });
  },
};
