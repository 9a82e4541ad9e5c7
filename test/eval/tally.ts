import { type Answer, describeAnswer } from './answer';
import type { Verdict } from './judgement';
import type { OracleRow } from './oracleRow';
import { Reservoir } from './reservoir';

/** One judged position, kept as an example. */
export interface Example {
  readonly row: OracleRow;
  readonly answer: Answer | null;
}

/** Counts of one folder, and examples of every class. */
export class Tally {
  readonly name: string;
  readonly #files = new Set<string>();
  readonly #counts = new Map<string, number>();
  readonly #examples = new Map<string, Reservoir<Example>>();
  readonly #examplesEach: number;
  readonly #seed: number;

  constructor(name: string, examplesEach: number, seed: number) {
    this.name = name;
    this.#examplesEach = examplesEach;
    this.#seed = seed;
  }

  add(row: OracleRow, answer: Answer | null, verdict: Verdict): void {
    this.#files.add(row.file);
    const key = 'of' in verdict ? `${verdict.kind}: ${verdict.of}` : verdict.kind;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    if ('of' in verdict) {
      const kept = this.#examples.get(key) ?? new Reservoir<Example>(this.#examplesEach, this.#seed);
      kept.offer({ row, answer });
      this.#examples.set(key, kept);
    }
  }

  get files(): number {
    return this.#files.size;
  }

  get asked(): number {
    return this.#sum(() => true);
  }

  count(kind: Verdict['kind']): number {
    return this.#sum((key) => key === kind || key.startsWith(`${kind}: `));
  }

  /** Positions of covered symbols where the oracle is certain. */
  get covered(): number {
    return this.count('right') + this.count('missed') + this.#of('wrong: the symbol itself', 'wrong: another symbol');
  }

  get recall(): number {
    return this.covered === 0 ? 1 : this.count('right') / this.covered;
  }

  get wrongPer2000(): number {
    return this.asked === 0 ? 0 : (2000 * this.count('wrong')) / this.asked;
  }

  /** Every class but the plain ones, the commonest first. */
  classes(): readonly (readonly [name: string, count: number, examples: readonly Example[]])[] {
    return [...this.#examples]
      .map(([key, kept]) => [key, this.#counts.get(key) ?? 0, kept.items] as const)
      .sort((one, other) => other[1] - one[1]);
  }

  #of(...starts: readonly string[]): number {
    return this.#sum((key) => starts.some((start) => key.startsWith(start)));
  }

  #sum(counts: (key: string) => boolean): number {
    return [...this.#counts].reduce((sum, [key, count]) => sum + (counts(key) ? count : 0), 0);
  }
}

const columns = [
  'folder',
  'files',
  'asked',
  'covered',
  'right',
  'missed',
  'wrong',
  'recall',
  'wrong/2000',
  'beyond',
  'unsure',
  'own source',
];

/** The table of all folders. */
export function tableOf(tallies: readonly Tally[]): string {
  const rows = tallies.map((tally) => [
    tally.name,
    String(tally.files),
    String(tally.asked),
    String(tally.covered),
    String(tally.count('right')),
    String(tally.count('missed')),
    String(tally.count('wrong')),
    `${(100 * tally.recall).toFixed(2)} %`,
    tally.wrongPer2000.toFixed(3),
    String(tally.count('beyond')),
    String(tally.count('unsure')),
    String(tally.count('definition')),
  ]);
  const widths = columns.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join('  ');
  return [columns, ...rows].map(line).join('\n');
}

/** The classes of one folder with their examples, as text. */
export function classesOf(tally: Tally): string {
  return tally
    .classes()
    .map(([name, count, examples]) => [`  ${count}  ${name}`, ...examples.map(exampleLine)].join('\n'))
    .join('\n');
}

/** `file:line:column  text → what the extension said; oracle: what it is`. */
export function exampleLine({ row, answer }: Example): string {
  const place = `${row.file}:${row.line + 1}:${row.column + 1}`;
  const truth = row.qualified ?? (row.candidates ? `one of ${row.candidates.join(', ')}` : `no symbol (${row.why})`);
  return `      ${place}  ${row.text} → ${describeAnswer(answer)}; oracle: ${truth}${row.path ? ` by ${row.path}` : ''}`;
}
