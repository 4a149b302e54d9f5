import type { CellPlan, Plan } from '../contract/job.ts';
import { firstFrameOf, lastFrameOf } from '../timeline/cells.ts';

/**
 * The plan as a table for a terminal: cells across, steps down. Under each cell its frames, mark, m and source, then
 * the timestep it is fed at every step; `·` after a timestep says that the cell does not move in that step. Wide
 * plans are cut into blocks of cells.
 * @param width columns to fit into, at least one cell a block
 */
export function planTable(plan: Plan, width = 100): string {
  const columns = plan.cells.map((cell, f) => [
    String(f),
    f === 0 ? '0' : `${firstFrameOf(f)}–${lastFrameOf(f)}`,
    cell.kind === 'interpolated' ? 'interp' : cell.kind,
    formatM(cell.m),
    describeSource(cell.source),
    ...plan.timesteps.map((row, k) => formatTimestep(row[f]!) + (plan.sigmaSteps[k]![f] === 0 ? '·' : ' ')),
  ]);
  const labels = [
    'cell',
    'frames',
    'mark',
    'm',
    'source',
    ...plan.timesteps.map((_, k) => `step ${k + 1}  σ ${plan.sigmas[k]!.toFixed(4)}`),
  ];
  const labelWidth = widest(labels);
  const blocks: string[] = [];
  for (let from = 0; from < columns.length;) {
    const block: { cells: readonly string[]; width: number }[] = [];
    let used = labelWidth;
    for (const cells of columns.slice(from)) {
      const columnWidth = widest(cells) + 2;
      if (block.length > 0 && used + columnWidth > width) break;
      block.push({ cells, width: columnWidth });
      used += columnWidth;
    }
    from += block.length;
    blocks.push(
      labels
        .map((label, row) =>
          (label.padEnd(labelWidth) + block.map((c) => c.cells[row]!.padStart(c.width)).join('')).trimEnd(),
        )
        .join('\n'),
    );
  }
  return `${plan.frames} frames, ${plan.cells.length} cells, ${plan.steps} steps\n\n${blocks.join('\n\n')}\n`;
}

function describeSource(source: CellPlan['source']): string {
  if (source.from === 'none') return '–';
  return source.from === 'clip' ? 'clip' : source.of.map(({ cell }) => cell).join('+');
}

function formatM(m: number): string {
  return m === 0 || m === 1 ? String(m) : m.toFixed(2);
}

function formatTimestep(t: number): string {
  return Number.isInteger(t) ? String(t) : t.toFixed(1);
}

function widest(texts: readonly string[]): number {
  return texts.reduce((most, text) => Math.max(most, text.length), 0);
}
