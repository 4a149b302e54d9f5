import { Notification, powerSaveBlocker, type BrowserWindow } from 'electron';
import type { Api, EventPayload } from '../core/contract/api.ts';
import type { ChannelClient } from '../core/contract/channel.ts';
import type { Texts } from './texts.ts';

export interface JobWatchHost {
  /** The window, while there is one. */
  window(): BrowserWindow | null;
  texts(): Texts;
  /** Brings the window to the front. */
  show(): void;
  log(thrown: unknown): void;
}

/** What the desktop shows of the queue: progress on the taskbar, a word when a job ends, no sleep while one runs. */
export class JobWatch {
  private readonly client: ChannelClient<Api>;
  private readonly host: JobWatchHost;
  private running: readonly string[] = [];
  private fraction = 0;
  private isPaused = false;
  private hasFailed = false;
  /** Those that can still be clicked: one that nothing refers to is collected, and its click lost. */
  private readonly notifications = new Set<Notification>();
  private blocker: number | null = null;

  constructor(client: ChannelClient<Api>, host: JobWatchHost) {
    this.client = client;
    this.host = host;
    client.on('jobs.queue', (queue) => this.follow(queue));
    client.on('jobs.progress', ({ jobId, progress }) => {
      if (this.running[0] !== jobId) return;
      this.fraction = progress.fraction;
      this.draw();
    });
  }

  /** Reads what runs already. */
  async start(): Promise<void> {
    const { items } = await this.client.api.jobs.list({ cursor: null, limit: 16, states: ['running'] });
    if (this.running.length === 0 && items.length > 0) {
      this.follow({ running: items.map(({ id }) => id), waiting: 0, paused: false });
    }
  }

  get isRunning(): boolean {
    return this.running.length > 0;
  }

  /** The person looks: the taskbar need not call them any more. */
  seen(): void {
    this.hasFailed = false;
    this.host.window()?.flashFrame(false);
    this.draw();
  }

  private follow({ running, paused }: EventPayload<'jobs.queue'>): void {
    const ended = this.running.filter((id) => !running.includes(id));
    if (running[0] !== this.running[0]) this.fraction = 0;
    this.running = running;
    this.isPaused = paused;
    this.stayAwake(running.length > 0);
    this.draw();
    for (const jobId of ended) this.tellEnd(jobId).catch((thrown: unknown) => this.host.log(thrown));
  }

  private async tellEnd(jobId: string): Promise<void> {
    const job = await this.client.api.jobs.get({ jobId });
    const isOver = job.state === 'done' || job.state === 'failed';
    if (!isOver || this.host.window()?.isFocused() === true) return;
    if (job.state === 'failed') {
      this.hasFailed = true;
      this.draw();
    }
    this.host.window()?.flashFrame(true);
    if (!Notification.isSupported()) return;
    const texts = this.host.texts();
    const notification = new Notification({
      title: job.state === 'done' ? texts.done : texts.failed,
      body: job.error === null ? '' : `${job.error.message} ${job.error.remedy}`,
    });
    this.notifications.add(notification);
    notification.on('click', () => {
      this.notifications.delete(notification);
      this.host.show();
    });
    notification.on('close', () => this.notifications.delete(notification));
    notification.show();
  }

  private draw(): void {
    const window = this.host.window();
    if (window === null) return;
    if (this.running.length > 0) {
      window.setProgressBar(this.fraction, { mode: this.isPaused ? 'paused' : 'normal' });
    } else if (this.hasFailed) window.setProgressBar(1, { mode: 'error' });
    else window.setProgressBar(-1);
  }

  private stayAwake(isNeeded: boolean): void {
    if (isNeeded && this.blocker === null) this.blocker = powerSaveBlocker.start('prevent-app-suspension');
    if (!isNeeded && this.blocker !== null) {
      powerSaveBlocker.stop(this.blocker);
      this.blocker = null;
    }
  }
}
