import * as vscode from 'vscode';
import { lazy } from '../../core/lazy';
import type { SymbolTable } from '../../core/library/symbolTable';
import type { MeaningFinder } from '../../core/python/meaning';
import type { PythonTree } from '../../core/python/syntax/parse';

/** The parser is a chunk of its own, loaded on the first hover. */
const loadAnalysis = lazy(() => import('../../core/python/analysis'));

interface Parsed {
  readonly tree: PythonTree;
  readonly finder: MeaningFinder;
}

/** A text to analyse and where a document's own text begins in it. */
interface Source {
  readonly key: string;
  readonly text: string;
  readonly start: number;
}

/** Parses documents when they are first asked about, and again only as far as they changed. */
export class PythonDocuments {
  readonly #parsed = new Map<string, Parsed>();
  readonly #disposables: vscode.Disposable;

  constructor() {
    this.#disposables = vscode.Disposable.from(
      vscode.workspace.onDidCloseTextDocument((document) => this.#parsed.delete(document.uri.toString())),
      vscode.workspace.onDidCloseNotebookDocument((notebook) => this.#parsed.delete(notebook.uri.toString())),
    );
  }

  /** What stands at an offset of a document; undefined when it is not known or the request was cancelled. */
  async meaningAt(document: vscode.TextDocument, offset: number, table: SymbolTable, token: vscode.CancellationToken) {
    const source = sourceOf(document);
    const { parsePython, MeaningFinder: Finder } = await loadAnalysis();
    const known = this.#parsed.get(source.key);
    const tree = await parsePython(source.text, known?.tree, () => token.isCancellationRequested);
    if (!tree) {
      return undefined;
    }
    const finder = known && known.tree === tree ? known.finder : new Finder(tree, table);
    this.#parsed.set(source.key, { tree, finder });
    const meaning = finder.at(source.start + offset);
    return meaning && { ...meaning, from: meaning.from - source.start, to: meaning.to - source.start };
  }

  dispose(): void {
    this.#parsed.clear();
    this.#disposables.dispose();
  }
}

/** A file is its own source; a notebook cell is read together with all cells of its notebook, in order. */
function sourceOf(document: vscode.TextDocument): Source {
  const notebook = vscode.workspace.notebookDocuments.find((candidate) =>
    candidate.getCells().some((cell) => cell.document === document),
  );
  if (!notebook) {
    return { key: document.uri.toString(), text: document.getText(), start: 0 };
  }
  let text = '';
  let start = 0;
  for (const cell of notebook.getCells()) {
    if (cell.document === document) {
      start = text.length;
    }
    if (cell.document.languageId === 'python') {
      text += `${withoutMagics(cell.document.getText())}\n`;
    }
  }
  return { key: notebook.uri.toString(), text, start };
}

/** Magics and shell lines (`%matplotlib inline`, `!pip install`) become blanks of the same length. */
function withoutMagics(text: string): string {
  if (/^\s*%%(?!time|capture|prun)/.test(text)) {
    return ' '.repeat(text.length);
  }
  return text.replace(/^[ \t]*[%!?].*$/gm, (line) => ' '.repeat(line.length));
}
