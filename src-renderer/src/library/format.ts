/** Seconds as `0:05`, `12:34`, `1:02:03`; the last second is rounded. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const pad = (value: number): string => String(value).padStart(2, '0');
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`;
}

/** A day and time in a language, short. */
export function formatTime(iso: string, language: string): string {
  return new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(iso));
}

/** A rate without digits that say nothing. */
export function formatFps(fps: number): string {
  return String(Number(fps.toFixed(3)));
}

/** Tags as typed, separated by commas of either script: trimmed, none twice, within what a take may have. */
export function parseTags(text: string): string[] {
  const all = text
    .split(/[,，、]/)
    .map((tag) => tag.trim().slice(0, 60).trim())
    .filter((tag) => tag !== '');
  return [...new Set(all)].slice(0, 50);
}
