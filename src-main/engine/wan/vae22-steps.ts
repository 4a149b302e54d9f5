import { encoderWidths, type VaeConfig } from './vae-config.ts';
import type { VaeStep } from './vae-steps.ts';

/**
 * The stages of `encoder.downsamples` in the VAE of Wan2.2 (spec §6): residual blocks and a resampling, and around
 * them a shortcut that averages down.
 */
export function encoderStages(config: VaeConfig): VaeStep[] {
  const widths = encoderWidths(config);
  return config.dimMult.flatMap((_, stage): VaeStep[] => {
    const key = `encoder.downsamples.${stage}`;
    const [from, to] = [widths[stage]!, widths[stage + 1]!];
    const time = config.temporalDownsample[stage];
    const space = time !== undefined;
    const resampling = `${key}.downsamples.${config.numResBlocks}`;
    return [
      { kind: 'branch', key, width: from, halved: space, pairs: time === true },
      ...residuals(`${key}.downsamples`, config.numResBlocks, from, to),
      ...(space ? [{ kind: 'halveSpace', key: resampling, from: to, to } as const] : []),
      ...(time === true ? [{ kind: 'halveTime', key: resampling, width: to } as const] : []),
      { kind: 'shortcutDown', key, from, to, pairs: time === true },
    ];
  });
}

/**
 * The stages of `decoder.upsamples` in the VAE of Wan2.2 (spec §6); the last does not resample and has no shortcut.
 * Where time grows, both frames of a pair have the same shortcut: the width is the same before and after (see
 * {@link hasWan22Widths}), so what the reference repeats per channel is one frame, twice.
 */
export function decoderStages(config: VaeConfig): VaeStep[] {
  const widths = decoderWidths(config);
  const times = [...config.temporalDownsample].reverse();
  const blocks = config.numResBlocks + 1;
  return config.dimMult.flatMap((_, stage): VaeStep[] => {
    const key = `decoder.upsamples.${stage}`;
    const [from, to] = [widths[stage]!, widths[stage + 1]!];
    const time = times[stage];
    const inner = residuals(`${key}.upsamples`, blocks, from, to);
    if (time === undefined) return inner;
    const resampling = `${key}.upsamples.${blocks}`;
    return [
      { kind: 'branch', key, width: from, halved: false, pairs: false },
      ...inner,
      ...(time ? [{ kind: 'doubleTime', key: resampling, width: to } as const] : []),
      { kind: 'doubleSpace', key: resampling, from: to, to },
      { kind: 'shortcutUp', key, from, to },
    ];
  });
}

/** Decoder widths: of `conv1`, then of each stage. */
export function decoderWidths({ dim, dimMult, wan22 }: VaeConfig): number[] {
  const mults = [...dimMult].reverse();
  return [mults[0]!, ...mults].map((mult) => mult * (wan22?.decoderDim ?? dim));
}

/**
 * Whether the widths are such as the shortcuts of this engine serve: whole, averages down over whole groups of
 * channels, repeats up a whole number of times, and a stage that doubles time keeps its width (so in Wan2.2's own).
 */
export function hasWan22Widths(config: VaeConfig): boolean {
  const times = [...config.temporalDownsample].reverse();
  const down = encoderWidths(config);
  const up = decoderWidths(config);
  const whole = [...down, ...up].every((width) => Number.isInteger(width) && width > 0);
  const stages = config.dimMult.length;
  if (!whole || times.length !== stages - 1) return false;
  return config.dimMult.every((_, stage) => {
    const frames = config.temporalDownsample[stage] === true ? 2 : 1;
    const ungrouped = (down[stage]! * frames) % down[stage + 1]!;
    if (ungrouped !== 0) return false;
    const time = times[stage];
    if (time === undefined) return true;
    const [from, to] = [up[stage]!, up[stage + 1]!];
    return time ? from === to : (4 * to) % from === 0;
  });
}

function residuals(key: string, count: number, from: number, to: number): VaeStep[] {
  return Array.from({ length: count }, (_, block) => ({
    kind: 'residual',
    key: `${key}.${block}`,
    from: block === 0 ? from : to,
    to,
  }));
}
