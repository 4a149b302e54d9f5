import protobuf from 'protobufjs/minimal.js';
import {
  checkVocabulary,
  invalidTokenizer,
  limits,
  type Piece,
  type PieceKind,
  type Vocabulary,
} from './vocabulary.ts';

type Reader = protobuf.Reader;

/** `SentencePiece.Type` of sentencepiece_model.proto. */
const kinds: Readonly<Record<number, PieceKind>> = {
  1: 'normal',
  2: 'unknown',
  3: 'control',
  4: 'user-defined',
  5: 'unused',
  6: 'byte',
};

const unigram = 1;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads a SentencePiece unigram model (`spiece.model`): the pieces and those settings of trainer and normaliser that
 * change how text is tokenized.
 * @throws TOKENIZER_INVALID
 */
export function parseSpiece(bytes: Uint8Array): Vocabulary {
  if (bytes.length > limits.fileBytes) throw invalidTokenizer('the file is too large');
  let model: Model;
  try {
    model = readModel(protobuf.Reader.create(bytes));
  } catch (thrown) {
    // The reader throws a RangeError past the end, an Error on an unknown wire type, the decoder a TypeError.
    throw thrown instanceof Error && thrown.name === 'PusaError'
      ? thrown
      : invalidTokenizer('it is not a SentencePiece model, or it is damaged', thrown);
  }
  const { pieces, trainer, normalizer } = model;
  if (trainer.modelType !== unigram) throw invalidTokenizer('it is not a unigram model');
  if (trainer.whitespaceAsSuffix || !normalizer.escapeWhitespaces) {
    throw invalidTokenizer('it writes spaces in a way that umt5 does not');
  }
  return checkVocabulary({
    pieces,
    unknownId: pieces.findIndex((piece) => piece.kind === 'unknown'),
    endId: trainer.endId,
    byteFallback: trainer.byteFallback,
    charsmap: normalizer.charsmap,
    addDummyPrefix: normalizer.addDummyPrefix,
    removeExtraWhitespaces: normalizer.removeExtraWhitespaces,
  });
}

interface Trainer {
  modelType: number;
  whitespaceAsSuffix: boolean;
  byteFallback: boolean;
  endId: number;
}

interface Normalizer {
  charsmap: Uint8Array;
  addDummyPrefix: boolean;
  removeExtraWhitespaces: boolean;
  escapeWhitespaces: boolean;
}

interface Model {
  pieces: Piece[];
  trainer: Trainer;
  normalizer: Normalizer;
}

/** `ModelProto`. The initial values are the defaults of the .proto file. */
function readModel(reader: Reader): Model {
  const pieces: Piece[] = [];
  const trainer: Trainer = { modelType: unigram, whitespaceAsSuffix: false, byteFallback: false, endId: 2 };
  const normalizer: Normalizer = {
    charsmap: new Uint8Array(),
    addDummyPrefix: true,
    removeExtraWhitespaces: true,
    escapeWhitespaces: true,
  };
  readFields(reader, reader.len, {
    1: (end) => {
      if (pieces.length === limits.pieces) throw invalidTokenizer('it has too many pieces');
      pieces.push(readPiece(reader, end, pieces.length));
    },
    2: (end) => readFields(reader, end, trainerFields(reader, trainer)),
    3: (end) => readFields(reader, end, normalizerFields(reader, normalizer)),
  });
  return { pieces, trainer, normalizer };
}

function readPiece(reader: Reader, end: number, id: number): Piece {
  let text = '';
  let score = 0;
  let type = 1;
  readFields(reader, end, {
    1: (textEnd) => {
      text = utf8.decode(reader.buf.subarray(reader.pos, textEnd));
      reader.pos = textEnd;
    },
    2: () => (score = reader.float()),
    3: () => (type = reader.uint32()),
  });
  const kind = kinds[type];
  if (kind === undefined) throw invalidTokenizer(`piece ${id} is of an unknown kind`);
  return { text, score, kind };
}

function trainerFields(reader: Reader, trainer: Trainer): Fields {
  return {
    3: () => (trainer.modelType = reader.uint32()),
    24: () => (trainer.whitespaceAsSuffix = reader.bool()),
    35: () => (trainer.byteFallback = reader.bool()),
    42: () => (trainer.endId = reader.int32()),
  };
}

function normalizerFields(reader: Reader, normalizer: Normalizer): Fields {
  return {
    2: (end) => {
      if (end - reader.pos > limits.charsmapBytes)
        throw invalidTokenizer('its replacement table is too large');
      normalizer.charsmap = reader.buf.slice(reader.pos, end);
      reader.pos = end;
    },
    3: () => (normalizer.addDummyPrefix = reader.bool()),
    4: () => (normalizer.removeExtraWhitespaces = reader.bool()),
    5: () => (normalizer.escapeWhitespaces = reader.bool()),
  };
}

/** What to do with a field by its number; `end` is where a length-delimited field ends. */
type Fields = Readonly<Record<number, (end: number) => unknown>>;

/** Wire type of strings, bytes and messages. */
const delimited = 2;

/**
 * Reads the fields up to `end`, skipping unknown ones. A field may not reach over `end`, and a message or string
 * must be read to its own end.
 */
function readFields(reader: Reader, end: number, fields: Fields): void {
  while (reader.pos < end) {
    const tag = reader.uint32();
    const wireType = tag & 7;
    const read = fields[tag >>> 3];
    if (wireType === delimited) {
      const length = reader.uint32();
      const fieldEnd = reader.pos + length;
      if (fieldEnd > end) throw invalidTokenizer('a part of it claims more bytes than there are');
      if (read === undefined) reader.pos = fieldEnd;
      else read(fieldEnd);
      if (reader.pos !== fieldEnd) throw invalidTokenizer('a part of it has another length than it claims');
    } else if (read === undefined) {
      reader.skipType(wireType);
    } else {
      read(reader.pos);
    }
  }
  if (reader.pos !== end) throw invalidTokenizer('a part of it has another length than it claims');
}
