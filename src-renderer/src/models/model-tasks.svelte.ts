import type { Model } from '../../../src-main/core/contract/api/models.ts';
import type { ModelTask } from '../../../src-main/core/contract/api/model-work.ts';
import type { Session } from '../state/session.svelte.ts';
import { endedSince, withTask } from './tasks.ts';

/**
 * Long work on models, as the studio keeps it: imports, bakes, downloads and checks. The studio goes on while no window
 * looks; a window that is opened or loaded anew finds everything as it is.
 */
export class ModelTasks {
  all = $state.raw<readonly ModelTask[]>([]);
  #asked = 0;
  /** Told since the last question was asked: newer than its answer. */
  #told: readonly ModelTask[] = [];

  /**
   * Follows the studio's tasks, and its models as they come and go.
   * @param onEnd told once of each task that ends while it is followed
   * @returns what ends the following
   */
  follow(session: Session, onEnd: (task: ModelTask) => void): () => void {
    const stops = [
      session.client.on('models.task', ({ task }) => {
        this.#told = withTask(this.#told, task);
        this.#lay(withTask(this.all, task), onEnd);
      }),
      session.client.on('models.changed', () => {
        session.readModels().catch((thrown: unknown) => {
          if (session.connected) session.fail(thrown);
        });
        void this.read(session, onEnd);
      }),
    ];
    void this.read(session, onEnd);
    return () => stops.forEach((stop) => stop());
  }

  /** Asks the studio for all of them. */
  async read(session: Session, onEnd: (task: ModelTask) => void = () => undefined): Promise<void> {
    const asked = ++this.#asked;
    this.#told = [];
    try {
      const { tasks } = await session.client.api.models.tasks({});
      if (asked === this.#asked) this.#lay(this.#told.reduce(withTask, tasks), onEnd);
    } catch (thrown) {
      if (session.connected) session.fail(thrown);
    }
  }

  #lay(tasks: readonly ModelTask[], onEnd: (task: ModelTask) => void): void {
    const ended = endedSince(this.all, tasks);
    this.all = tasks;
    ended.forEach(onEnd);
  }
}

/** What the window shows everywhere. */
export const modelTasks = new ModelTasks();

/** Asks something of the studio about models; a refusal is told. */
export async function askModels<T>(
  session: Session,
  ask: (api: Session['client']['api']['models']) => Promise<T>,
): Promise<T | null> {
  try {
    return await ask(session.client.api.models);
  } catch (thrown) {
    session.fail(thrown);
    return null;
  }
}

/** Generates with a model from now on: in the range that is shown, else wherever none is named. */
export async function takeModel(session: Session, model: Pick<Model, 'id'>, label: string): Promise<void> {
  const { range } = session;
  if (range !== null) await session.edit(label, [{ type: 'setModel', rangeId: range.id, model: model.id }]);
  else await makeDefault(session, model);
}

/** The model of ranges that name none. */
export async function makeDefault(session: Session, { id }: Pick<Model, 'id'>): Promise<void> {
  try {
    session.settings = await session.client.api.settings.set({ defaultModel: id });
    await session.readModels();
  } catch (thrown) {
    session.fail(thrown);
  }
}

/** Begins to read a model whole and compare it with what was imported; the task is told as others are. */
export async function verifyModel(session: Session, { id }: Pick<Model, 'id'>): Promise<void> {
  if ((await askModels(session, (api) => api.verify({ model: id }))) !== null) await modelTasks.read(session);
}
