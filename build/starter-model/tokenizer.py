"""SentencePiece unigram tokenizer of the starter model (spec section 5), written and read without the library.

The file is an ordinary `spiece.model`: pad 0, eos 1, unk 2, 256 byte-fallback pieces, then whole words.
"""
from __future__ import annotations

import struct

import numpy as np

import data

PAD, EOS, UNK = 0, 1, 2
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
SPACE = "\u2581"
WORD_SCORE = -6.0


def vocabulary_words() -> list[str]:
    """Every piece a caption can need, in a stable order: English words, Chinese words, punctuation."""
    english: list[str] = []
    for shape in data.SHAPES:
        for motion in data.MOTIONS:
            for place in data.BACKGROUNDS:
                for colour in data.COLOURS:
                    english += data.make_caption(shape, colour, place, motion, colour, "en").split()
    english += ["A", "An", "The", "an", "the", "and", "then", "is", "it", "to", "at", "with", "video", "of"]
    chinese = ["\u4e00\u4e2a", "\u7684", "\u53d8\u6210"]
    for table in (data.ZH_SHAPE, data.ZH_COLOUR, data.ZH_PLACE):
        chinese += table.values()
    chinese += [phrase for phrase in data.ZH_MOTION.values() if "{" not in phrase]
    pieces = [SPACE] + [SPACE + w for w in english] + chinese + [SPACE + w for w in chinese] + list(".,!?")
    return list(dict.fromkeys(pieces))


def _varint(value: int) -> bytes:
    out = bytearray()
    value &= (1 << 64) - 1
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)


def _blob(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def build_model() -> bytes:
    """Serialise the ModelProto: pieces (1), trainer_spec (2), normalizer_spec (3)."""
    pieces = [("<pad>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), ("<unk>", 0.0, UNKNOWN)]
    pieces += [(f"<0x{b:02X}>", 0.0, BYTE) for b in range(256)]
    pieces += [(w, WORD_SCORE - 1e-3 * i, NORMAL) for i, w in enumerate(vocabulary_words())]
    out = b""
    for text, score, kind in pieces:
        body = _blob(1, text.encode()) + _float(2, score)
        out += _blob(1, body if kind == NORMAL else body + _integer(3, kind))
    trainer = (_integer(3, 1) + _integer(4, len(pieces)) + _float(10, 1.0) + _integer(16, 1) + _integer(33, 0)
               + _integer(35, 1) + _integer(40, UNK) + _integer(41, -1) + _integer(42, EOS) + _integer(43, PAD))
    normaliser = _blob(1, b"identity") + _integer(3, 1) + _integer(4, 1) + _integer(5, 1)
    return out + _blob(2, trainer) + _blob(3, normaliser)


def _fields(message: bytes):
    """Yield (field, value) of one protobuf message."""
    position = 0

    def varint() -> int:
        nonlocal position
        shift = value = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(message):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
        else:
            length = {1: 8, 5: 4}.get(tag & 7) or varint()
            yield tag >> 3, message[position:position + length]
            position += length


class Tokenizer:
    """Viterbi segmentation with byte fallback over the pieces of a `spiece.model` (identity normaliser)."""

    def __init__(self, model: bytes):
        self.scores: dict[str, tuple[float, int]] = {}
        self.bytes: dict[int, int] = {}
        index = 0
        for field, value in _fields(model):
            if field != 1:
                continue
            piece = dict(_fields(value))
            text, kind = piece[1].decode(), piece.get(3, NORMAL)
            if kind == NORMAL:
                self.scores[text] = (struct.unpack("<f", piece[2])[0], index)
            elif kind == BYTE:
                self.bytes[int(text[3:5], 16)] = index
            index += 1
        self.size = index
        self.longest = max(map(len, self.scores))
        self.unknown_score = min(s for s, _ in self.scores.values()) - 10.0

    def encode(self, text: str, length: int) -> list[int]:
        """Token ids ending with eos, at most `length`; the empty prompt gives [eos]."""
        words = text.split()
        line = SPACE + SPACE.join(words) if words else ""
        best: list[tuple[float, int, int]] = [(0.0, 0, 0)]
        for end in range(1, len(line) + 1):
            choice = (best[end - 1][0] + self.unknown_score, end - 1, -1)
            for start in range(max(0, end - self.longest), end):
                hit = self.scores.get(line[start:end])
                if hit and best[start][0] + hit[0] > choice[0]:
                    choice = (best[start][0] + hit[0], start, hit[1])
            best.append(choice)
        ids: list[int] = []
        end = len(line)
        while end:
            _, start, piece = best[end]
            ids[:0] = [piece] if piece >= 0 else [self.bytes[b] for b in line[start:end].encode()]
            end = start
        return ids[: length - 1] + [EOS]

    def batch(self, texts: list[str], length: int):
        """Ids and mask as int64 arrays [B, length], padded with 0."""
        ids = np.zeros((len(texts), length), np.int64)
        mask = np.zeros((len(texts), length), np.int64)
        for row, text in enumerate(texts):
            tokens = self.encode(text, length)
            ids[row, :len(tokens)] = tokens
            mask[row, :len(tokens)] = 1
        return ids, mask
