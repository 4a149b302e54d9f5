/** What a person can say while a job runs. */
export interface KeyActions {
  readonly onCancel: () => void;
  readonly onKeep: () => void;
}

/** Listens to k (stop and keep) and Ctrl-C (cancel) in a terminal, to SIGINT and SIGTERM everywhere. @returns ends it */
export function listenToKeys({ onCancel, onKeep }: KeyActions): () => void {
  const { stdin } = process;
  const onData = (data: Buffer): void => {
    const keys = data.toString();
    if (keys.includes('\u0003')) onCancel();
    else if (keys.toLowerCase().includes('k')) onKeep();
  };
  const isTerminal = stdin.isTTY;
  if (isTerminal) {
    stdin.setRawMode(true);
    stdin.on('data', onData);
    stdin.resume();
  }
  process.on('SIGINT', onCancel);
  process.on('SIGTERM', onCancel);
  return () => {
    process.off('SIGINT', onCancel);
    process.off('SIGTERM', onCancel);
    if (!isTerminal) return;
    stdin.off('data', onData);
    stdin.setRawMode(false);
    stdin.pause();
  };
}
