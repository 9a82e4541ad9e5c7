import type { RawInputs } from './readInputs';

/** What an article writes in a `calculator` fence: the name, then `input: text` for inputs that start otherwise. */
export interface CalculatorFence {
  readonly name: string;
  readonly preset: RawInputs;
  /** Lines below the name that are not of that form, counted from 1. */
  readonly unread: readonly number[];
}

export function parseCalculatorFence(content: string): CalculatorFence {
  const [name = '', ...lines] = content.trim().split('\n');
  const preset: Record<string, string> = {};
  const unread: number[] = [];
  lines.forEach((line, index) => {
    const [, id, value] = /^(\w+):\s*(\S.*)$/.exec(line.trim()) ?? [];
    if (id !== undefined && value !== undefined) {
      preset[id] = value.trim();
    } else {
      unread.push(index + 2);
    }
  });
  return { name: name.trim(), preset, unread };
}
