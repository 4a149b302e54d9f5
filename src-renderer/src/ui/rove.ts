/**
 * Arrow keys, Home and End inside a group of controls that is one stop of Tab. Presses what it reaches where `press`
 * is wanted, as radio groups and tab lists do.
 */
export function roveFocus(event: KeyboardEvent, selector: string, press = true): void {
  const group = event.currentTarget;
  if (!(group instanceof HTMLElement)) return;
  const all = [...group.querySelectorAll<HTMLElement>(selector)].filter(
    (element) => element.getAttribute('aria-disabled') !== 'true',
  );
  const at = all.indexOf(document.activeElement as HTMLElement);
  const target = nextIndex(event.key, at, all.length);
  if (target === null) return;
  event.preventDefault();
  event.stopPropagation();
  all[target]?.focus();
  if (press) all[target]?.click();
}

/** Where a key leads among `count` controls in a row, round the ends; null when it is no such key. */
export function nextIndex(key: string, at: number, count: number): number | null {
  if (count === 0) return null;
  switch (key) {
    case 'ArrowRight':
    case 'ArrowDown':
      return (at + 1) % count;
    case 'ArrowLeft':
    case 'ArrowUp':
      return (at <= 0 ? count : at) - 1;
    case 'Home':
      return 0;
    case 'End':
      return count - 1;
    default:
      return null;
  }
}
