import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { cleanPrompt } from '../../../src-main/engine/text/clean.ts';
import { createTokenizer } from '../../../src-main/engine/text/tokenizer.ts';
import { compare, type Comparison } from '../compare.ts';

const expectedSchema = z.array(
  z.looseObject({ text: z.string(), cleaned: z.string(), ids: z.array(z.int()) }),
);

/** Ids are compared exactly; the cleaned text shows in them, and is compared as code units as well. */
const exact = { atol: 0, rtol: 0 };

/** A SentencePiece model and the ids it gives: cleaning, normalising, splitting, byte fallback, end mark. */
export function run(caseDir: string): Promise<Comparison[]> {
  const tokenizer = createTokenizer(readFileSync(join(caseDir, 'spiece.model')));
  const expected = expectedSchema.parse(JSON.parse(readFileSync(join(caseDir, 'expected.json'), 'utf8')));
  const results = expected.flatMap(({ text, cleaned, ids }) => {
    const encoded = tokenizer.encode(text, 512);
    return [
      compare(`cleaned ${JSON.stringify(text)}`, codeUnits(cleanPrompt(text)), codeUnits(cleaned), exact),
      compare(`ids of ${JSON.stringify(text)}`, encoded.ids.subarray(0, encoded.valid), ids, exact),
    ];
  });
  return Promise.resolve(results);
}

function codeUnits(text: string): number[] {
  return Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
}
