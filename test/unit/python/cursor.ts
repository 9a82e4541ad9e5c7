import { readFileSync } from 'node:fs';
import type { CardFile } from '../../../src/core/library/card';
import { SymbolTable } from '../../../src/core/library/symbolTable';
import { type Meaning, MeaningFinder } from '../../../src/core/python/meaning';
import { parsePython } from '../../../src/core/python/syntax/parse';

/** The table of the shipped cards: no test double, so that a rule is tested on the names it is for. */
export const table = new SymbolTable(JSON.parse(readFileSync('dist/cards.json', 'utf8')) as CardFile);

/** The meaning at the `|` in a piece of code. */
export async function meaningAtCursor(code: string): Promise<Meaning | undefined> {
  const offset = code.indexOf('|');
  const tree = await parsePython(code.replace('|', ''), undefined, () => false);
  if (offset < 0 || !tree) {
    throw new Error('the code needs a | where the cursor is');
  }
  return new MeaningFinder(tree, table).at(offset);
}

/** The symbol at the `|`, marked where it is reached through a variable that holds an object of it. */
export async function symbolAtCursor(code: string): Promise<string | undefined> {
  const meaning = await meaningAtCursor(code);
  switch (meaning?.kind) {
    case 'symbol':
      return meaning.holds === 'instance' ? `an object of ${meaning.symbol}` : meaning.symbol;
    case 'argument':
      return `${meaning.symbol}(${meaning.parameter}=)`;
    case 'ownName':
      return `own ${meaning.name}`;
    default:
      return undefined;
  }
}
