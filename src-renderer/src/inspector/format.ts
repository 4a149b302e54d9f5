/** Numbers as people read them. All pure; words come from the caller's language. */

/** "8 s", "1 min 24 s", "2 h 5 min": rounded to what matters at that length. */
export function formatDuration(
  seconds: number,
  units: { readonly h: string; readonly min: string; readonly s: string },
): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole === 0 && seconds > 0 ? '< 1' : whole} ${units.s}`;
  const minutes = Math.floor(whole / 60);
  if (whole < 600) return `${minutes} ${units.min}${whole % 60 === 0 ? '' : ` ${whole % 60} ${units.s}`}`;
  const rounded = Math.round(whole / 60);
  if (rounded < 60) return `${rounded} ${units.min}`;
  const rest = rounded % 60;
  return `${Math.floor(rounded / 60)} ${units.h}${rest === 0 ? '' : ` ${rest} ${units.min}`}`;
}

/** At most that many digits after the point, none that say nothing: 3, 1.4, 16.67. */
export function trimZeros(value: number, digits = 2): string {
  return String(Number(value.toFixed(digits)));
}

/** How full the prompt is. */
export type TokenState = 'empty' | 'fine' | 'near' | 'over';

/** @param tokens the end mark included, so an empty prompt has 1 */
export function tokenState(tokens: number, limit: number): TokenState {
  if (tokens <= 1) return 'empty';
  if (tokens > limit) return 'over';
  return tokens > limit * 0.9 ? 'near' : 'fine';
}
