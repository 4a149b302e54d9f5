import { z } from 'zod';

/** Where outcomes of trials are kept (see `provider-memory.ts`), and for which application. */
export const memoryPlaceSchema = z.strictObject({
  /** The file to keep them in. */
  file: z.string().min(1).max(32_768),
  /** Name and version of the application. */
  application: z.string().min(1).max(200),
});
export type MemoryPlace = z.infer<typeof memoryPlaceSchema>;
