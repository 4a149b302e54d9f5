import type { Api } from '../../../../src-main/core/contract/api.ts';
import type { ChannelClient } from '../../../../src-main/core/contract/channel.ts';
import type { Project } from '../../../../src-main/core/contract/project.ts';
import { applyCommands } from '../../../../src-main/core/edit/apply.ts';
import type { Command } from '../../../../src-main/core/edit/commands.ts';
import { diffProjects } from '../../../../src-main/core/edit/diff.ts';

/** The little of a studio a timeline alone needs: it keeps one project and applies edits to it. */
export function smallStudio(first: Project): ChannelClient<Api> {
  let project = first;
  let revision = 0;
  const steps = { undo: null, redo: null };
  const answers: Readonly<Record<string, (input: never) => unknown>> = {
    'projects.edit': ({ commands }: { commands: Command[] }) => {
      const before = project;
      project = applyCommands(project, commands);
      return { projectId: project.id, revision: ++revision, change: diffProjects(before, project), steps };
    },
    'takes.get': () => ({ sampler: { seed: 1_204_117 } }),
    'takes.list': () => ({ items: [], next: null, total: 0 }),
    'takes.inMedia': () => ({ takes: [] }),
  };
  const api = new Proxy(
    {},
    {
      get: (_, domain: string) =>
        new Proxy(
          {},
          {
            get: (_, method: string) => (input: unknown) => {
              const answer = answers[`${domain}.${method}`];
              return answer ? Promise.resolve(answer(input as never)) : Promise.reject(new Error(method));
            },
          },
        ),
    },
  );
  return {
    api,
    on: () => () => undefined,
    close: () => undefined,
    closed: new Promise(() => undefined),
  } as unknown as ChannelClient<Api>;
}
