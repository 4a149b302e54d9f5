/** Red, green, blue, 0 … 255. */
export type Rgb = readonly [number, number, number];

/** The theme's colours as a canvas takes them. */
export interface Palette {
  readonly well: string;
  readonly panel: string;
  readonly panel2: string;
  readonly panel3: string;
  readonly line: string;
  readonly lineStrong: string;
  readonly text: string;
  readonly text2: string;
  readonly muted: string;
  readonly accent: string;
  readonly fixed: string;
  readonly onFixed: string;
  readonly noisy: string;
  readonly onNoisy: string;
  readonly interpolated: string;
  readonly onInterpolated: string;
  readonly clip: Readonly<Record<'image' | 'video' | 'sequence' | 'take', string>>;
  readonly playhead: string;
  readonly range: string;
  readonly warn: string;
  readonly bad: string;
  /** RGBA of 256 timesteps from 0 to 1000, packed for a little-endian pixel buffer. */
  readonly heat: Uint32Array;
  readonly font: string;
}

/** Fallbacks where a theme lacks a variable. */
const fallbacks: Readonly<Record<string, string>> = {
  '--well': '#08090c',
  '--panel-3': '#252a35',
  '--line-strong': '#3a4150',
};
const heatStops = 6;

/** Reads the theme's variables. Called once per change of the theme: it makes the page compute styles. */
export function readPalette(element: Element): Palette {
  const style = getComputedStyle(element);
  const pen = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true })!;
  const read = (name: string): string => {
    const value = style.getPropertyValue(name).trim();
    return value === '' ? (fallbacks[name] ?? '#888888') : value;
  };
  const rgb = (name: string): Rgb => {
    pen.fillStyle = read(name);
    pen.clearRect(0, 0, 1, 1);
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b] = pen.getImageData(0, 0, 1, 1).data;
    return [r!, g!, b!];
  };
  return {
    well: read('--well'),
    panel: read('--panel'),
    panel2: read('--panel-2'),
    panel3: read('--panel-3'),
    line: read('--line'),
    lineStrong: read('--line-strong'),
    text: read('--text'),
    text2: read('--text-2'),
    muted: read('--muted'),
    accent: read('--accent'),
    fixed: read('--fixed'),
    onFixed: read('--on-fixed'),
    noisy: read('--noisy'),
    onNoisy: read('--on-noisy'),
    interpolated: read('--interpolated'),
    onInterpolated: read('--on-interpolated'),
    clip: {
      image: read('--clip-image'),
      video: read('--clip-video'),
      sequence: read('--clip-sequence'),
      take: read('--clip-take'),
    },
    playhead: read('--playhead'),
    range: read('--range'),
    warn: read('--warn'),
    bad: read('--bad'),
    heat: heatTable(Array.from({ length: heatStops }, (_, i) => rgb(`--heat-${i}`))),
    font: style.fontFamily,
  };
}

/** 256 colours between evenly spaced stops. */
export function heatTable(stops: readonly Rgb[]): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (stops.length - 1);
    const low = Math.min(stops.length - 2, Math.floor(at));
    const share = at - low;
    const mix = (channel: 0 | 1 | 2): number =>
      Math.round(stops[low]![channel] + (stops[low + 1]![channel] - stops[low]![channel]) * share);
    return ((255 << 24) | (mix(2) << 16) | (mix(1) << 8) | mix(0)) >>> 0;
  });
}

/** Place of a timestep (0 … 1000) in the table. */
export function heatIndex(timestep: number): number {
  return Math.min(255, Math.max(0, Math.round((timestep / 1000) * 255)));
}
