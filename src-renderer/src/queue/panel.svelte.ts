/** Whether the queue is open, and what is compared: opened from several places. */
class Panel {
  open = $state(false);
  /** Whether the queue starts nothing. */
  paused = $state(false);
  /** The range whose takes are compared; null: closed. */
  comparing = $state<string | null>(null);

  compare(rangeId: string): void {
    this.comparing = rangeId;
  }
}

export const panel = new Panel();
