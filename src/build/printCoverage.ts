import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CardFile } from '../core/library/card';
import { contentCounts, type SeedEntry, seedCounts } from './contentCoverage';
import { coverageOf } from './coverage';
import { Problems } from './problems';
import { readNotes } from './readNotes';

/** `npm run coverage`: the inventory of the collections and the lists of public names against what is written. */
const inventory = 'test/fixtures/inventory';

printNotes();
printCards();

function printNotes(): void {
  const notes = readNotes('resources/notes', new Problems());
  const counts = contentCounts(notes);
  const entries = JSON.parse(readFileSync(join(inventory, 'seed-entries.json'), 'utf8')) as readonly SeedEntry[];
  print(['notes', 'count'], 26);
  print(['topics', counts.topics], 26);
  print(['articles, English', counts.articles.en], 26);
  print(['articles, Chinese', counts.articles['zh-cn']], 26);
  print(['sections without content', counts.stubs.length], 26);
  print(['references', counts.references], 26);
  print(['papers', counts.papers], 26);
  print(['figures', counts.figures], 26);
  print(['calculators', counts.calculators], 26);
  print(['code blocks run', counts.codeBlocks], 26);
  print(['formulas checked', counts.claimedFormulas], 26);
  print(['numbers checked', counts.statedNumbers], 26);
  print(['pitfalls executed', counts.pitfalls - counts.unexecutedPitfalls], 26);
  print(['pitfalls that cannot run', counts.unexecutedPitfalls], 26);
  printNames('written without figure or calculator', counts.unshown);
  printNames('sections without content', counts.stubs);
  console.log('');
  print(['collection, kind of entry', 'entries', 'answered'], 44);
  for (const { seed, kind, entries: all, answered } of seedCounts(entries, notes)) {
    print([`${seed} ${kind}`, all, answered], 44);
  }
  console.log('');
}

function printCards(): void {
  const cards = JSON.parse(readFileSync('dist/cards.json', 'utf8')) as CardFile;
  const folder = join(inventory, 'symbols');
  print(['list of names', 'names', 'card', 'formula', 'shapes', 'trap', 'all three'], 38);
  for (const file of readdirSync(folder)) {
    const { list, listed, missing, formula, shapes, trap, all } = coverageOf(join(folder, file), cards);
    print([list, listed, listed - missing.length, formula, shapes, trap, all], 38);
    printNames('without a card', missing);
  }
}

function print(cells: readonly (string | number)[], width: number): void {
  console.log(
    cells.map((cell, index) => (index === 0 ? String(cell).padEnd(width) : String(cell).padStart(10))).join(''),
  );
}

function printNames(what: string, names: readonly string[]): void {
  if (names.length > 0) {
    console.log(`    ${what}: ${names.join(', ')}`);
  }
}
