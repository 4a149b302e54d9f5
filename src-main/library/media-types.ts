export interface OpenOptions {
  /**
   * `MediaStore.id` of the store that must be there. Without it a store is made where none is: leave it out only the
   * first time, else a disk that is not connected, or another library's folder, would pass for this library's media.
   */
  readonly id?: string;
  /** A folder that is not there (see `id`) is no error: the store is absent (`MediaStore.absence`) until found. */
  readonly mayBeAbsent?: boolean;
  /** Keeps the folder for the next start; called when another folder has become the store. */
  readonly remember?: (folder: string) => void | Promise<void>;
}

export interface ImportOptions {
  /** Bytes read so far, and in all where that is known. */
  readonly onBytes?: (done: number, total: number | null) => void;
  readonly signal?: AbortSignal;
  /** The hash that the bytes must have, as when an asset is relinked. */
  readonly expect?: string;
  /**
   * Makes the record that the medium belongs to. Until it is done the medium cannot be removed; if it fails, a
   * medium that no other import has recorded goes again, so that no file stays without a record.
   */
  readonly record?: (imported: Imported) => void | Promise<void>;
}

/** A medium in the store; `isNew` is false if its bytes were there already. */
export interface Imported {
  readonly hash: string;
  readonly bytes: number;
  readonly isNew: boolean;
}

export interface Swept {
  /** Hashes of media that no record names; they are removed. */
  readonly removed: readonly string[];
  readonly freedBytes: number;
  /** Number of interrupted writes that were removed. */
  readonly unfinished: number;
}
