import type { TableName } from '../../../src-main/core/contract/records.ts';
import type { Session } from '../state/session.svelte.ts';
import { debounce, Paged, type PageOf } from './paged.svelte.ts';

/**
 * A paged list that follows the library: read anew, gently, when records of its table change, and at once when the
 * question does. Call it while a component is initialised.
 * @param question whatever the answer depends on
 */
export function followList<T extends { readonly id: string }, Q>(
  session: Session,
  table: TableName,
  question: () => Q,
  read: (question: Q, cursor: string | null, limit: number) => Promise<PageOf<T>>,
): Paged<T> {
  const list = new Paged<T>(
    (cursor, limit) => read(question(), cursor, limit),
    (thrown) => {
      if (session.connected) session.fail(thrown);
    },
  );
  $effect(() => {
    question();
    if (session.connected) void list.restart(true);
  });
  $effect(() => {
    const later = debounce(150);
    const stop = session.client.on('records.changed', (changed) => {
      if (changed.table === table) later.run(() => void list.restart(false));
    });
    return () => {
      later.stop();
      stop();
    };
  });
  return list;
}

/** Reads the next page when the end of a list comes near. */
export function nearEnd(more: () => void): (element: Element) => () => void {
  return (element) => {
    const observer = new IntersectionObserver(
      (entries) => {
        if (entries.some(({ isIntersecting }) => isIntersecting)) more();
      },
      { rootMargin: '400px' },
    );
    observer.observe(element);
    return () => observer.disconnect();
  };
}
