import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type HoverOptions, hoverContent } from '../../src/core/hover/hoverContent';
import type { CardFile } from '../../src/core/library/card';
import { NoteLibrary, parseLibraryIndex } from '../../src/core/library/noteLibrary';
import { SymbolTable } from '../../src/core/library/symbolTable';
import { type Meaning, MeaningFinder } from '../../src/core/python/meaning';
import type { ModuleName } from '../../src/core/python/moduleName';
import { parsePython } from '../../src/core/python/syntax/parse';
import { type Answer, answered } from './answer';
import { askedColumn, type OracleRow } from './oracleRow';

const everything: HoverOptions = { mode: 'full', formula: true, shapes: true, facts: true, trap: true, links: true };

/** Asks the extension's core directly, without a host: for a quick look while the resolver is worked on. */
export class NodeAsker {
  readonly #table: SymbolTable;
  readonly #library: NoteLibrary;

  constructor(dist: string) {
    const read = (name: string) => readFileSync(join(dist, name), 'utf8');
    this.#table = new SymbolTable(JSON.parse(read('cards.json')) as CardFile);
    this.#library = new NoteLibrary(parseLibraryIndex(read('index.json')));
  }

  /** The answers at the rows of one file, in their order. */
  async ask(file: string, rows: readonly OracleRow[]): Promise<readonly (Answer | null)[]> {
    const text = readFileSync(file, 'utf8').replace(/^\uFEFF/, '');
    const tree = await parsePython(text, undefined, () => false);
    if (!tree) {
      throw new Error(`${file} was not parsed`);
    }
    const finder = new MeaningFinder(tree, this.#table, moduleOf(file));
    const starts = lineStarts(text);
    return rows.map((row) => {
      const meaning = finder.at((starts[row.line] ?? 0) + askedColumn(row));
      return meaning ? { meaning: answered(meaning), shown: this.#isShown(meaning) } : null;
    });
  }

  #isShown(meaning: Meaning): boolean {
    return hoverContent(meaning, this.#table, this.#library, 'en', everything) !== undefined;
  }
}

/** As the host does: the packages that a file lies in, by their `__init__.py`. */
function moduleOf(file: string): ModuleName {
  const isPackage = basename(file) === '__init__.py';
  const parts = isPackage ? [] : [basename(file, '.py')];
  for (let folder = dirname(file); existsSync(join(folder, '__init__.py')); folder = dirname(folder)) {
    parts.unshift(basename(folder));
  }
  return { name: parts.join('.'), isPackage };
}

function lineStarts(text: string): readonly number[] {
  return [0, ...Array.from(text.matchAll(/\r\n|\r|\n/g), (end) => end.index + end[0].length)];
}
