import type { FileHandle } from 'node:fs/promises';
import { crc32, deflateSync, inflateSync } from 'node:zlib';
import { limits } from './types.ts';

/** Keyword of the text chunk that holds a take. */
const keyword = 'pusa';
const signatureLength = 8;

/**
 * A PNG with a text put in as a compressed iTXt chunk (PNG specification, 11.3.3.4) right after its header.
 * @param png a whole PNG file
 */
export function withText(png: Uint8Array, text: string): Uint8Array {
  const afterHeader = signatureLength + 12 + 13;
  return Buffer.concat([png.subarray(0, afterHeader), textChunk(text), png.subarray(afterHeader)]);
}

/** The text put in by {@link withText}, or null where there is none or it is damaged. */
export async function readText(file: FileHandle): Promise<string | null> {
  const head = Buffer.alloc(8);
  let at = signatureLength;
  // A chunk takes 12 bytes at least; real files have few of them.
  for (let chunks = 0; chunks < 100_000; chunks++) {
    const { bytesRead } = await file.read(head, 0, 8, at);
    if (bytesRead < 8) return null;
    const length = head.readUInt32BE(0);
    const type = head.toString('latin1', 4, 8);
    if (type === 'iTXt' && length <= limits.take) {
      const data = Buffer.alloc(length);
      await file.read(data, 0, length, at + 8);
      const text = parseText(data);
      if (text !== null) return text;
    }
    if (type === 'IEND') return null;
    at += 12 + length;
  }
  return null;
}

function textChunk(text: string): Buffer {
  const type = Buffer.from('iTXt', 'latin1');
  // Keyword, 0, compressed, method 0 (zlib), language 0, translated keyword 0, text.
  const head = Buffer.from(`${keyword}\0\x01\0\0\0`, 'latin1');
  const body = Buffer.concat([type, head, deflateSync(text)]);
  const chunk = Buffer.alloc(body.length + 8);
  chunk.writeUInt32BE(body.length - type.length, 0);
  body.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(body), body.length + 4);
  return chunk;
}

function parseText(data: Buffer): string | null {
  const nameEnd = data.indexOf(0);
  if (data.toString('latin1', 0, nameEnd) !== keyword) return null;
  const compressed = data[nameEnd + 1] === 1;
  const languageEnd = data.indexOf(0, nameEnd + 3);
  const translatedEnd = languageEnd < 0 ? -1 : data.indexOf(0, languageEnd + 1);
  if (translatedEnd < 0) return null;
  const text = data.subarray(translatedEnd + 1);
  if (!compressed) return text.toString();
  try {
    return inflateSync(text, { maxOutputLength: limits.take }).toString();
  } catch {
    return null;
  }
}
