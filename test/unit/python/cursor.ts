import { readFileSync } from 'node:fs';
import type { CardFile } from '../../../src/core/library/card';
import { SymbolTable } from '../../../src/core/library/symbolTable';
import { type Meaning, MeaningFinder } from '../../../src/core/python/meaning';
import type { ModuleName } from '../../../src/core/python/moduleName';
import { parsePython } from '../../../src/core/python/syntax/parse';

/** The table of the shipped cards: no test double, so that a rule is tested on the names it is for. */
export const table = new SymbolTable(JSON.parse(readFileSync('dist/cards.json', 'utf8')) as CardFile);

/** The meaning at the `|` in a piece of code; `module` names the library's own file that the code is taken from. */
export async function meaningAtCursor(code: string, module?: ModuleName): Promise<Meaning | undefined> {
  const offset = code.indexOf('|');
  const tree = await parsePython(code.replace('|', ''), undefined, () => false);
  if (offset < 0 || !tree) {
    throw new Error('the code needs a | where the cursor is');
  }
  return new MeaningFinder(tree, table, module).at(offset);
}

/** The symbol at the `|`, marked where it is reached through a variable that holds an object of it. */
export async function symbolAtCursor(code: string, module?: ModuleName): Promise<string | undefined> {
  const meaning = await meaningAtCursor(code, module);
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
