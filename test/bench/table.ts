import { type Comparison, quantile } from './figures';

export interface Row extends Comparison {
  readonly name: string;
  readonly floorName: string;
  /** The ratio of the medians that must not be exceeded. */
  readonly budget?: number | undefined;
  /** By how many milliseconds our median may lie above the floor's. */
  readonly budgetAbove?: number | undefined;
}

export interface Size {
  readonly name: string;
  readonly bytes: number;
  readonly budget: number;
}

/** The figures as plain text: medians and 95 % marks in milliseconds, and the ratio of the medians. */
export function renderTable(rows: readonly Row[]): string {
  const head = ['', 'ours p50', 'p95', 'floor p50', 'p95', 'ratio', 'n', 'floor'];
  return `\n${align([head, ...rows.map(renderRow)])}\n(milliseconds; ratio of the medians)`;
}

function renderRow({ name, floorName, ours, floor, budget, budgetAbove }: Row): readonly string[] {
  const [our, least] = [quantile(ours, 0.5), quantile(floor, 0.5)];
  const ratio = our / least;
  const limit = [
    budget === undefined ? '' : ` (budget ${budget}${ratio > budget ? ', MISSED' : ''})`,
    budgetAbove === undefined
      ? ''
      : ` (${(our - least).toFixed(1)} above, budget ${budgetAbove}${our - least > budgetAbove ? ', MISSED' : ''})`,
  ].join('');
  const times = [ours, floor].flatMap((values) => [ms(quantile(values, 0.5)), ms(quantile(values, 0.95))]);
  return [name, ...times, ratio.toFixed(2) + limit, String(ours.length), floorName];
}

export function renderSizes(sizes: readonly Size[]): string {
  const rows = sizes.map(({ name, bytes, budget }) => {
    const verdict = bytes > budget ? 'MISSED' : `${Math.round((100 * bytes) / budget)} %`;
    return [name, kilobytes(bytes), kilobytes(budget), verdict];
  });
  return `\n${align([['', 'size', 'budget', ''], ...rows])}`;
}

function ms(value: number): string {
  return value < 10 ? value.toFixed(2) : value.toFixed(0);
}

function kilobytes(bytes: number): string {
  return `${Math.round(bytes / 1024)} KB`;
}

/** Columns of equal width: the first and the last to the left, numbers to the right. */
function align(rows: readonly (readonly string[])[]): string {
  const widths = rows.reduce<number[]>(
    (found, row) => row.map((cell, at) => Math.max(cell.length, found[at] ?? 0)),
    [],
  );
  const pad = (cell: string, at: number) => {
    const width = widths[at] ?? 0;
    return at === 0 || at === widths.length - 1 ? cell.padEnd(width) : cell.padStart(width);
  };
  return rows.map((row) => row.map(pad).join('  ').trimEnd()).join('\n');
}
