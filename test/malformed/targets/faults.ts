import { PusaError } from '../../../src-main/core/errors.ts';
import { WronglyAccepted, type Target } from '../mutate.ts';

const faulty: readonly (readonly [change: string, mustRefuse: boolean, feed: () => Promise<string>])[] = [
  ['refused rightly', true, () => Promise.reject(new PusaError('FILE_EMPTY', 'It is empty.', 'Fill it.'))],
  ['crashes', false, () => process.abort()],
  ['is accepted wrongly', true, () => Promise.resolve('reads the same')],
  ['never ends', false, endless],
  ['takes memory without bound', false, () => Promise.resolve(reserve())],
  ['throws what is not for people', false, () => Promise.reject(new TypeError('x is undefined'))],
  ['gives something invalid', false, () => Promise.reject(new WronglyAccepted('it has no size'))],
  ['is refused without a sentence', false, () => Promise.reject(new PusaError('FILE_EMPTY', 'empty', ''))],
  [
    'is refused as a fault of ours',
    false,
    () => Promise.reject(new PusaError('INTERNAL', 'It broke.', 'Report it.')),
  ],
  ['is accepted rightly', false, () => Promise.resolve('reads the same')],
];

function reserve(): string {
  return new ArrayBuffer(3 * 2 ** 30).byteLength > 0 ? 'reads the same' : 'nothing';
}

function endless(): never {
  for (;;);
}

/** Readers that do what no reader may, each in its own way: the runner has to notice all of them. */
export const faults: Target = {
  name: 'fault',
  share: 1,
  prepare: () =>
    Promise.resolve({
      sound: {
        field: 'nothing',
        change: 'none',
        mustRefuse: false,
        feed: () => Promise.resolve('reads the same'),
      },
      draw: (_random, index) => {
        const [change, mustRefuse, feed] = faulty[index % faulty.length]!;
        return Promise.resolve({ field: `way ${index}`, change, mustRefuse, feed });
      },
    }),
};
