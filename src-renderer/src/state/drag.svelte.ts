import { assetSchema, type Asset } from '../../../src-main/core/contract/project.ts';

const type = 'application/x-pusa-asset';
const maxBytes = 64 * 1024;
let current = $state.raw<Asset | null>(null);

/** An asset on its way from the library to the timeline. */
export const assetDrag = {
  /** While one is dragged; the event's own data cannot be read before it is dropped. */
  get current(): Asset | null {
    return current;
  },

  /** Called while `dragstart` is handled. */
  start(event: DragEvent, asset: Asset): void {
    current = assetOf(asset);
    event.dataTransfer?.setData(type, JSON.stringify(current));
    if (event.dataTransfer) event.dataTransfer.effectAllowed = 'copy';
  },

  end(): void {
    current = null;
  },

  /** Whether an event carries an asset. */
  has(event: DragEvent): boolean {
    return event.dataTransfer?.types.includes(type) === true;
  },

  /** What was dropped; null when it is no asset. */
  read(event: DragEvent): Asset | null {
    return parseAssetDrag(event.dataTransfer?.getData(type) ?? '');
  },
};

/** The payload of a drop, which any page could have made. */
export function parseAssetDrag(text: string): Asset | null {
  if (text.length === 0 || text.length > maxBytes) return null;
  try {
    const parsed = assetSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/** What a project keeps of a record of the library. */
export function assetOf(record: Asset): Asset {
  const { id, kind, name, hash, bytes, width, height, fps, duration } = record;
  return { id, kind, name, hash, bytes, width, height, fps, duration };
}
