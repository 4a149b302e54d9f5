import { spawn, type ChildProcessByStdio } from 'node:child_process';
import type { Readable } from 'node:stream';
import { broken } from './video.ts';
import { cannotStart, lastComplaint } from './tools.ts';

/** One decoded frame: RGB8, and its start in seconds after the source's first frame. */
export interface DecodedFrame {
  readonly time: number;
  readonly rgb: Uint8Array;
}

/** Longest wait for one frame, in seconds, before ffmpeg counts as hung. Seeking in a slow file takes its time. */
const patience = 120;

/**
 * A running ffmpeg that writes raw frames to its output and, by the filter `showinfo`, their timestamps to its error
 * stream. The n-th frame belongs to the n-th timestamp. ffmpeg waits when nobody reads, so memory stays bounded.
 */
export class FrameDecoder {
  private readonly path: string;
  private readonly frameBytes: number;
  private readonly origin: number;
  private readonly child: ChildProcessByStdio<null, Readable, Readable>;
  private readonly chunks: AsyncIterator<Buffer>;
  private readonly closed: Promise<number | null>;
  private readonly timestamps: number[] = [];
  private rest: Buffer = Buffer.alloc(0);
  private halfLine = '';
  private lastWords = '';
  private tick = 0;
  private wake: () => void = () => undefined;
  private ended = false;
  private startFailure: Error | null = null;

  /**
   * @param path the media file, for messages
   * @param tool the ffmpeg, `args` for it
   * @param frameBytes size of one raw frame
   * @param origin seconds on the file's clock that count as 0
   */
  constructor(path: string, tool: string, args: readonly string[], frameBytes: number, origin: number) {
    this.path = path;
    this.frameBytes = frameBytes;
    this.origin = origin;
    this.child = spawn(tool, args, { stdio: ['ignore', 'pipe', 'pipe'], windowsHide: true });
    this.chunks = this.child.stdout[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    this.child.stderr.on('data', (chunk: Buffer) => {
      this.readErrors(chunk.toString('latin1'));
    });
    this.closed = new Promise((done) => {
      this.child.once('error', (cause) => {
        this.startFailure = cannotStart(tool, cause);
        this.finish(done, null);
      });
      this.child.once('close', (code) => {
        this.finish(done, code);
      });
    });
  }

  /** What ffmpeg said last. */
  get complaint(): string {
    return lastComplaint(`${this.lastWords}\n${this.halfLine}`);
  }

  /**
   * The next frame in order of presentation, or null after the last.
   * @throws PusaError MEDIA_UNREADABLE if ffmpeg fails or hangs
   */
  async next(): Promise<DecodedFrame | null> {
    const timer = setTimeout(() => {
      this.lastWords += `\nno frame within ${patience} seconds`;
      this.child.kill('SIGKILL');
    }, patience * 1000);
    try {
      const rgb = await this.readFrame();
      if (rgb === null) {
        const code = await this.closed;
        if (this.startFailure !== null) throw this.startFailure;
        if (code !== 0) throw broken(this.path, new Error(this.complaint));
        return null;
      }
      while (this.timestamps.length === 0 && !this.ended) {
        await new Promise<void>((done) => {
          this.wake = done;
        });
      }
      const time = this.timestamps.shift();
      if (time === undefined) throw broken(this.path, new Error('a frame came without a timestamp'));
      return { time: time - this.origin, rgb };
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends ffmpeg if it still runs, and waits until it has. */
  async stop(): Promise<void> {
    this.child.kill('SIGKILL');
    this.child.stdout.destroy();
    await this.closed;
  }

  private async readFrame(): Promise<Buffer | null> {
    const parts: Buffer[] = [];
    let missing = this.frameBytes;
    let piece = this.rest;
    for (;;) {
      const taken = piece.subarray(0, missing);
      if (taken.length > 0) parts.push(taken);
      missing -= taken.length;
      if (missing === 0) {
        this.rest = piece.subarray(taken.length);
        return Buffer.concat(parts);
      }
      const read = await this.chunks.next();
      if (read.done === true) return null;
      piece = read.value;
    }
  }

  private readErrors(text: string): void {
    const lines = (this.halfLine + text).split('\n');
    this.halfLine = lines.pop() ?? '';
    for (const line of lines) {
      const clock = /showinfo.*config in time_base: (\d+)\/(\d+)/.exec(line);
      if (clock !== null) this.tick = Number(clock[1]) / Number(clock[2]);
      const frame = /showinfo[^\]]*\] n: *\d+ pts: *(-?\d+) /.exec(line);
      if (frame !== null) this.timestamps.push(Number(frame[1]) * this.tick);
      else if (!line.includes('showinfo')) this.lastWords = `${this.lastWords}\n${line}`.slice(-2000);
    }
    this.wake();
  }

  private finish(done: (code: number | null) => void, code: number | null): void {
    this.ended = true;
    this.wake();
    done(code);
  }
}
