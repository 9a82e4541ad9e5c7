import type { Localized } from '../library/language';
import {
  type Input,
  type Inputs,
  type ListInput,
  type RowColumn,
  type RowsInput,
  text,
  type Value,
} from './calculator';

/** What stands in the fields of a form, by the id of the input. */
export type RawInputs = Readonly<Record<string, string>>;

export interface Reading {
  readonly values: Readonly<Record<string, Value>>;
  /** What is wrong with a field, by the id of its input. */
  readonly problems: ReadonlyMap<string, Localized>;
}

/** The text that a field starts with. */
export function initialText(input: Input): string {
  switch (input.kind) {
    case 'list':
      return input.initial.join(', ');
    case 'rows':
      return input.initial.map((row) => row.join(' ')).join('\n');
    default:
      return String(input.initial);
  }
}

/** Whether an input counts with what the form holds. */
export function isShown(inputs: Inputs, id: string, raw: RawInputs): boolean {
  const condition = inputs[id]?.onlyFor;
  const decisive = condition && inputs[condition.input];
  return !condition || !decisive || condition.is.includes(raw[condition.input] ?? initialText(decisive));
}

/** Reads every field; an input that is not shown keeps its initial value. */
export function readInputs(inputs: Inputs, raw: RawInputs): Reading {
  const values: Record<string, Value> = {};
  const problems = new Map<string, Localized>();
  for (const [id, input] of Object.entries(inputs)) {
    const read = isShown(inputs, id, raw) ? readInput(input, raw[id] ?? initialText(input)) : undefined;
    if (read && 'problem' in read) {
      problems.set(id, read.problem);
    } else {
      values[id] = read?.value ?? initialValue(input);
    }
  }
  return { values, problems };
}

type Read = { readonly value: Value } | { readonly problem: Localized };

function initialValue(input: Input): Value {
  return input.initial;
}

function readInput(input: Input, raw: string): Read {
  switch (input.kind) {
    case 'integer':
    case 'number': {
      const value = numberIn(raw);
      const isFine =
        value !== undefined && inRange(value, input) && (input.kind === 'number' || Number.isInteger(value));
      return isFine ? { value } : { problem: rangeProblem(input, input.kind === 'integer') };
    }
    case 'toggle':
      return { value: raw === 'true' };
    case 'choice':
      return input.options.some(({ id }) => id === raw) ? { value: raw } : { value: input.initial };
    case 'list':
      return listOf(input, raw);
    case 'rows':
      return rowsOf(input, raw);
  }
}

function numberIn(raw: string): number | undefined {
  const trimmed = raw.trim().replace('−', '-');
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(trimmed) ? Number(trimmed) : undefined;
}

function numbersIn(raw: string): readonly (number | undefined)[] {
  return raw
    .split(/[\s,;，、；]+/)
    .filter((part) => part !== '')
    .map(numberIn);
}

function inRange(value: number, { min, max }: { readonly min: number; readonly max: number }): boolean {
  return value >= min && value <= max;
}

function rangeProblem({ min, max }: { readonly min: number; readonly max: number }, whole: boolean): Localized {
  const [low, high] = [min.toLocaleString('en-US'), max.toLocaleString('en-US')];
  return whole
    ? text(`Enter a whole number from ${low} to ${high}.`, `请输入 ${low} 到 ${high} 之间的整数。`)
    : text(`Enter a number from ${low} to ${high}.`, `请输入 ${low} 到 ${high} 之间的数。`);
}

function listOf(input: ListInput, raw: string): Read {
  const numbers = numbersIn(raw);
  const { length, min, max } = input;
  const value = numbers.filter((number) => number !== undefined);
  if (value.length === numbers.length && inRange(value.length, length) && value.every((each) => inRange(each, input))) {
    return { value };
  }
  const [few, many] = [length.min, length.max];
  const count = few === many ? `${few}` : `${few} to ${many}`;
  const chineseCount = few === many ? `${few}` : `${few} 到 ${many}`;
  return {
    problem: text(
      `Enter ${count} numbers from ${min} to ${max}, with commas or spaces between them.`,
      `请输入 ${chineseCount} 个 ${min} 到 ${max} 之间的数，用逗号或空格隔开。`,
    ),
  };
}

function rowsOf(input: RowsInput, raw: string): Read {
  const rows: number[][] = [];
  const lines = raw.split(/\n|;|；/).filter((line) => line.trim() !== '');
  for (const [index, line] of lines.entries()) {
    const row = rowOf(input.columns, numbersIn(line));
    if (!row) {
      return { problem: rowProblem(input.columns, index + 1) };
    }
    rows.push(row);
  }
  if (rows.length === 0 || rows.length > input.maxRows) {
    return { problem: text(`Enter 1 to ${input.maxRows} rows.`, `请输入 1 到 ${input.maxRows} 行。`) };
  }
  return { value: rows };
}

function rowOf(columns: readonly RowColumn[], numbers: readonly (number | undefined)[]): number[] | undefined {
  const row = columns.map((column, index) => (index < numbers.length ? numbers[index] : column.default));
  const isFine = numbers.length <= columns.length && row.every((value, index) => fits(value, columns[index]));
  return isFine ? row.map(Number) : undefined;
}

function fits(value: number | undefined, column: RowColumn | undefined): boolean {
  return (
    value !== undefined && column !== undefined && inRange(value, column) && (!column.whole || Number.isInteger(value))
  );
}

function rowProblem(columns: readonly RowColumn[], row: number): Localized {
  const named = (language: keyof Localized) =>
    columns.map(({ label, min, max }) => `${label[language]} (${min} … ${max})`).join(language === 'en' ? ', ' : '、');
  return text(`Row ${row} must hold: ${named('en')}.`, `第 ${row} 行应为：${named('zh-cn')}。`);
}
