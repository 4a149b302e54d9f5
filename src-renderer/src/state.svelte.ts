import { pageStateSchema, type PageState } from '../../src-main/core/contract/page.ts';

/** Asks the application for its state, often while it generates, rarely else. */
export class PageConnection {
  current = $state.raw<PageState | null>(null);
  /** True when the application stopped answering. */
  lost = $state(false);
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** Starts asking. @returns stops it */
  start(): () => void {
    void this.refresh();
    return () => clearTimeout(this.timer);
  }

  async send(action: 'generate' | 'keep' | 'cancel'): Promise<void> {
    await fetch(`/api/${action}`, { method: 'POST' }).catch(() => undefined);
    await this.refresh();
  }

  private async refresh(): Promise<void> {
    clearTimeout(this.timer);
    try {
      const response = await fetch('/api/state');
      this.current = pageStateSchema.parse(await response.json());
      this.lost = false;
    } catch {
      this.lost = true;
    }
    const isBusy = this.current?.generation.status === 'running' || this.current?.machine === null;
    this.timer = setTimeout(() => void this.refresh(), isBusy ? 250 : 2000);
  }
}
