import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { Card, CardFile } from '../core/library/card';
import { SymbolTable } from '../core/library/symbolTable';

/** How many of a list of names have a card, and how much stands on it. */
export interface Coverage {
  readonly list: string;
  readonly listed: number;
  readonly missing: readonly string[];
  readonly formula: number;
  readonly shapes: number;
  readonly trap: number;
  readonly all: number;
}

/** Reads a list of names: one a line, `#` for remarks. */
export function namesIn(file: string): readonly string[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

/** Holds a list of names against the compiled cards. */
export function coverageOf(file: string, cardFile: CardFile): Coverage {
  const table = new SymbolTable(cardFile);
  const names = namesIn(file);
  const cards = names.map((name) => table.card(name) ?? table.card(table.canonical(name)));
  const count = (has: (card: Card) => boolean) => cards.filter((card) => card && has(card)).length;
  return {
    list: basename(file, '.txt'),
    listed: names.length,
    missing: names.filter((_, index) => cards[index] === undefined),
    formula: count((card) => card.formula !== undefined),
    shapes: count((card) => card.shapes !== undefined),
    trap: count((card) => card.trap !== undefined),
    all: count((card) => card.formula !== undefined && card.shapes !== undefined && card.trap !== undefined),
  };
}
