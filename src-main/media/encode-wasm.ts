import { createRequire } from 'node:module';
import {
  BufferSource,
  EncodedAudioPacketSource,
  EncodedPacketSink,
  EncodedVideoPacketSource,
  FilePathSource,
  FilePathTarget,
  Input,
  MP4,
  Mp4OutputFormat,
  Output,
} from 'mediabunny';
import type { H264MP4Encoder } from 'h264-mp4-encoder';
import { PusaError } from '../core/errors.ts';
import { rgbToYuv420 } from './colour.ts';
import type { TakeOutput } from './encode.ts';

/** Quantiser of H.264, 10 … 51, less is better: about what x264's crf 16 gives. */
const quantiser = 18;

/**
 * Writes mp4 without ffmpeg: H.264 (Baseline) by a WebAssembly encoder in this process, then put into a new mp4 with
 * its colour tags (BT.709, limited range), description and exact times. Both sides must be even.
 * @param sound mp4 from `writeSound`
 */
export async function writeMp4Here(
  output: TakeOutput,
  path: string,
  sound: string | null = null,
): Promise<void> {
  const bare = await encode(output);
  const soundFile = sound === null ? null : new Input({ formats: [MP4], source: new FilePathSource(sound) });
  try {
    await remux(bare, soundFile, output, path);
  } finally {
    soundFile?.dispose();
  }
}

async function encode({ frames, width, height, fps }: TakeOutput): Promise<Uint8Array> {
  const encoder = await createEncoder();
  encoder.width = width;
  encoder.height = height;
  encoder.frameRate = fps;
  encoder.quantizationParameter = quantiser;
  encoder.groupOfPictures = Math.max(1, Math.round(fps * 2));
  attempt(() => {
    encoder.initialize();
  });
  for await (const frame of frames) {
    attempt(() => {
      encoder.addFrameYuv(rgbToYuv420(frame, { width, height }));
    });
    // The encoder blocks; whoever else lives in this process gets a turn.
    await new Promise((done) => setImmediate(done));
  }
  return attempt(() => {
    encoder.finalize();
    return encoder.FS.readFile(encoder.outputFilename);
  });
}

async function remux(
  mp4: Uint8Array,
  sound: Input | null,
  { fps, metadata, title }: TakeOutput,
  path: string,
): Promise<void> {
  const input = new Input({ formats: [MP4], source: new BufferSource(mp4) });
  try {
    const track = (await input.getVideoTracks())[0]!;
    const output = new Output({
      format: new Mp4OutputFormat({ fastStart: 'in-memory' }),
      target: new FilePathTarget(path),
    });
    const source = new EncodedVideoPacketSource('avc');
    output.addVideoTrack(source);
    const soundSource = new EncodedAudioPacketSource('aac');
    if (sound !== null) output.addAudioTrack(soundSource);
    output.setMetadataTags({ ...(title === undefined ? {} : { title }), comment: metadata });
    await output.start();
    const config = await track.getDecoderConfig();
    const decoderConfig = {
      ...config!,
      colorSpace: { primaries: 'bt709', transfer: 'bt709', matrix: 'bt709', fullRange: false } as const,
    };
    let frame = 0;
    for await (const packet of new EncodedPacketSink(track).packets()) {
      await source.add(packet.clone({ timestamp: frame / fps, duration: 1 / fps }), { decoderConfig });
      frame++;
    }
    if (sound !== null) await copySound(sound, soundSource);
    await output.finalize();
  } finally {
    input.dispose();
  }
}

async function copySound(sound: Input, to: EncodedAudioPacketSource): Promise<void> {
  const track = (await sound.getAudioTracks())[0]!;
  const decoderConfig = await track.getDecoderConfig();
  for await (const packet of new EncodedPacketSink(track).packets()) {
    // What lies before the beginning is the encoder's own run-in, which is not heard.
    if (packet.timestamp >= 0) await to.add(packet, { decoderConfig: decoderConfig! });
  }
}

/**
 * Loads the encoder, a fresh one each time: a failure ends its whole program, and the memory of a finished one is only
 * given back with it. Its glue code sets handlers for the process's uncaught errors, which would end the application
 * with the encoder's own source as the message: they are taken off again.
 */
async function createEncoder(): Promise<H264MP4Encoder> {
  const events = ['uncaughtException', 'unhandledRejection'] as const;
  const before = events.map((event) => new Set(process.listeners(event as 'uncaughtException')));
  const load = createRequire(import.meta.url);
  const { createH264MP4Encoder } = load('h264-mp4-encoder') as {
    createH264MP4Encoder: () => Promise<H264MP4Encoder>;
  };
  Reflect.deleteProperty(load.cache, load.resolve('h264-mp4-encoder'));
  const encoder = await createH264MP4Encoder();
  events.forEach((event, index) => {
    for (const listener of process.listeners(event as 'uncaughtException')) {
      if (!before[index]!.has(listener)) process.removeListener(event, listener);
    }
  });
  return encoder;
}

function attempt<T>(step: () => T): T {
  try {
    return step();
  } catch (thrown) {
    throw new PusaError(
      'WRITE_FAILED',
      'The built-in H.264 encoder failed.',
      'Install ffmpeg for mp4, or write a PNG sequence or a gif.',
      // What it throws may carry its whole program as the message.
      { cause: String(thrown).slice(0, 300) },
    );
  }
}
