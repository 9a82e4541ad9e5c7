import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CardFile } from '../core/library/card';
import { coverageOf } from './coverage';

/** `npm run coverage`: the lists of public names against the compiled cards. */
const folder = 'test/fixtures/inventory/symbols';
const cards = JSON.parse(readFileSync('dist/cards.json', 'utf8')) as CardFile;
const row = (cells: readonly (string | number)[]) =>
  console.log(cells.map((cell, index) => (index === 0 ? String(cell).padEnd(38) : String(cell).padStart(9))).join(''));

row(['list', 'names', 'card', 'formula', 'shapes', 'trap', 'all three']);
for (const file of readdirSync(folder)) {
  const { list, listed, missing, formula, shapes, trap, all } = coverageOf(join(folder, file), cards);
  row([list, listed, listed - missing.length, formula, shapes, trap, all]);
  if (missing.length > 0) {
    console.log(`    without a card: ${missing.join(' ')}`);
  }
}
