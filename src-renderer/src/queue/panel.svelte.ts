/** A job, or the take that came of one. */
export type Worked = { readonly job: string } | { readonly take: string };

/** Whether the queue is open, and what is compared or told: opened from several places. */
class Panel {
  open = $state(false);
  /** Whether the queue starts nothing. */
  paused = $state(false);
  /** The range whose takes are compared; null: closed. */
  comparing = $state<string | null>(null);
  /** The job or take that is told in full; null: none. */
  detailed = $state.raw<Worked | null>(null);

  compare(rangeId: string): void {
    this.comparing = rangeId;
  }
}

export const panel = new Panel();
