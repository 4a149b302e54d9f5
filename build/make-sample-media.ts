// Draws the sample media of the first project: node build/make-sample-media.ts
// A harbour at sunset; the picture shows a red boat on the left, the clip the same boat sailing on, further right.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { encodeTake } from '../src-main/media/encode.ts';

const [width, height] = [832, 480];
const horizon = 268;
const fps = 24;
const clipFrames = 60;
const folder = join(import.meta.dirname, '..', 'resources', 'samples', 'media');

/** One moment of the scene: the boat's place in pixels and the time in seconds, which moves water, boat and gulls. */
function scene(boatX: number, time: number): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">
  <defs>
    <linearGradient id="sky" x1="0" y1="0" x2="0" y2="1">
      <stop offset="0" stop-color="#3b3f78"/><stop offset="0.45" stop-color="#b7627f"/>
      <stop offset="0.8" stop-color="#f39a63"/><stop offset="1" stop-color="#fcd28a"/>
    </linearGradient>
    <linearGradient id="sea" x1="0" y1="0" x2="0" y2="1">
      <stop offset="0" stop-color="#f0b078"/><stop offset="0.25" stop-color="#a4637f"/>
      <stop offset="1" stop-color="#27305c"/>
    </linearGradient>
    <radialGradient id="glow"><stop offset="0" stop-color="#fff3c4"/><stop offset="0.22" stop-color="#ffe09a"/>
      <stop offset="0.24" stop-color="#ffd88c" stop-opacity="0.45"/><stop offset="1" stop-color="#ffb56b" stop-opacity="0"/>
    </radialGradient>
  </defs>
  <rect width="${width}" height="${horizon}" fill="url(#sky)"/>
  <circle cx="560" cy="${horizon - 22}" r="150" fill="url(#glow)"/>
  ${clouds()}
  <path d="M0 ${horizon} L0 210 Q90 176 190 214 T360 236 Q430 246 470 ${horizon} Z" fill="#6d4a74"/>
  <path d="M600 ${horizon} Q680 236 740 224 Q790 214 ${width} 208 L${width} ${horizon} Z" fill="#7b527a"/>
  ${town()}
  <rect y="${horizon}" width="${width}" height="${height - horizon}" fill="url(#sea)"/>
  ${glitter(time)}
  ${waves(time)}
  ${lighthouse()}
  ${boat(boatX, time)}
  ${pier()}
  ${gulls(time)}
</svg>`;
}

function clouds(): string {
  const bands = [
    [120, 92, 150, 9, '#d98a86'],
    [250, 108, 110, 7, '#e39a85'],
    [690, 76, 130, 8, '#c97a86'],
    [610, 128, 170, 7, '#f5b27c'],
    [380, 58, 90, 6, '#a8617f'],
  ] as const;
  return bands
    .map(
      ([x, y, rx, ry, fill]) =>
        `<ellipse cx="${x}" cy="${y}" rx="${rx}" ry="${ry}" fill="${fill}" opacity="0.7"/>`,
    )
    .join('');
}

function town(): string {
  const houses = [
    [34, 44, 58, '#4a3560'],
    [80, 36, 44, '#573c66'],
    [118, 40, 66, '#43305a'],
    [160, 34, 40, '#5a4068'],
    [196, 46, 52, '#4a3560'],
    [244, 32, 36, '#604569'],
  ] as const;
  return houses
    .map(([x, wide, high, fill]) => {
      const top = horizon - high;
      const windows = [0.28, 0.64]
        .map(
          (at, index) =>
            `<rect x="${x + wide * at - 3}" y="${top + 14 + index * 12}" width="6" height="8" fill="#ffdf8e"/>`,
        )
        .join('');
      return `<rect x="${x}" y="${top}" width="${wide}" height="${high}" fill="${fill}"/>
        <path d="M${x - 4} ${top} L${x + wide / 2} ${top - 18} L${x + wide + 4} ${top} Z" fill="#8c3f4f"/>${windows}`;
    })
    .join('');
}

function glitter(time: number): string {
  return Array.from({ length: 16 }, (_, row) => {
    const y = horizon + 6 + row * 9;
    const reach = 20 + row * 4 + 8 * Math.sin(time * 2.4 + row * 1.7);
    const x = 560 + 10 * Math.sin(time * 1.3 + row * 2.1);
    return `<rect x="${x - reach}" y="${y}" width="${2 * reach}" height="3" rx="1.5" fill="#ffe3a6" opacity="${0.62 - row * 0.032}"/>`;
  }).join('');
}

function waves(time: number): string {
  return Array.from({ length: 9 }, (_, row) => {
    const y = horizon + 22 + row * 22;
    const length = 60 + row * 14;
    const shift = (time * (10 + row * 5) + row * 97) % (2 * length);
    let path = `M${-2 * length + shift} ${y}`;
    for (let x = -2 * length + shift; x < width + length; x += 2 * length) {
      path += ` q${length / 2} ${-3 - row * 0.5} ${length} 0 t${length} 0`;
    }
    return `<path d="${path}" fill="none" stroke="#ffd9b0" stroke-width="1.6" opacity="0.22"/>`;
  }).join('');
}

function lighthouse(): string {
  return `<path d="M668 ${horizon + 8} q52 -26 104 0 Z" fill="#3c2f52"/>
    <path d="M708 ${horizon - 8} L713 ${horizon - 108} L731 ${horizon - 108} L736 ${horizon - 8} Z" fill="#f4e6d8"/>
    <path d="M710.5 ${horizon - 52} L712 ${horizon - 82} L732 ${horizon - 82} L733.5 ${horizon - 52} Z" fill="#c8434a"/>
    <rect x="709" y="${horizon - 114}" width="26" height="6" fill="#3c2f52"/>
    <rect x="715" y="${horizon - 128}" width="14" height="14" fill="#ffe9a8"/>
    <path d="M712 ${horizon - 128} L722 ${horizon - 140} L732 ${horizon - 128} Z" fill="#8c3f4f"/>`;
}

function boat(x: number, time: number): string {
  const y = 356 + 3 * Math.sin(time * 2.2);
  const lean = 2.2 * Math.sin(time * 1.6);
  return `<ellipse cx="${x}" cy="${y + 22}" rx="92" ry="8" fill="#1d2448" opacity="0.45"/>
  <g transform="translate(${x} ${y}) rotate(${lean})">
    <path d="M-6 -128 L-6 -6 L-74 -6 Q-40 -60 -6 -128 Z" fill="#fff1df"/>
    <path d="M2 -112 Q52 -66 60 -10 L2 -10 Z" fill="#ffd7ad"/>
    <rect x="-6" y="-134" width="5" height="136" fill="#4c2f2f"/>
    <path d="M-6 -134 l26 6 l-26 7 Z" fill="#f2b134"/>
    <path d="M-88 0 L92 0 Q80 30 56 30 L-58 30 Q-80 26 -88 0 Z" fill="#d5323c"/>
    <path d="M-88 0 L92 0 L90 8 L-86 8 Z" fill="#f6efe4"/>
  </g>
  <path d="M${x - 100} ${y + 30} q50 10 100 2 t100 -2" fill="none" stroke="#ffe9cf" stroke-width="3" opacity="0.55"/>`;
}

function pier(): string {
  const posts = [16, 76, 136, 196]
    .map((x) => `<rect x="${x}" y="430" width="12" height="50" fill="#1f1b36"/>`)
    .join('');
  return `<rect y="424" width="232" height="14" fill="#2b2444"/>${posts}
    <rect x="60" y="392" width="6" height="34" fill="#1f1b36"/><circle cx="63" cy="388" r="7" fill="#ffe39a"/>`;
}

function gulls(time: number): string {
  return [
    [300, 120, 1],
    [352, 146, 0.75],
    [262, 158, 0.6],
  ]
    .map(([x, y, size], index) => {
      const flap = 5 * Math.sin(time * 7 + index * 2);
      const at = `translate(${x! + time * 22} ${y! + 4 * Math.sin(time + index)}) scale(${size!})`;
      return `<path transform="${at}" d="M-16 ${-flap} Q-7 -8 0 0 Q7 -8 16 ${-flap}" fill="none" stroke="#2f2748" stroke-width="3" stroke-linecap="round"/>`;
    })
    .join('');
}

async function* clip(): AsyncGenerator<Uint8Array, void> {
  for (let frame = 0; frame < clipFrames; frame++) {
    const time = 3 + frame / fps;
    yield sharp(Buffer.from(scene(430 + frame * 2.2, time)))
      .removeAlpha()
      .raw()
      .toBuffer();
  }
}

await mkdir(folder, { recursive: true });
const picture = await sharp(Buffer.from(scene(190, 0)))
  .removeAlpha()
  .png({ compressionLevel: 9 })
  .toBuffer();
await writeFile(join(folder, 'harbour.png'), picture);
await encodeTake({ frames: clip(), width, height, fps, path: join(folder, 'boat.mp4'), metadata: '{}' });
