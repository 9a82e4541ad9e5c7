import * as vscode from 'vscode';
import { lazy } from '../../core/lazy';
import { SymbolTable } from '../../core/library/symbolTable';
import type { Meaning, MeaningFinder } from '../../core/python/meaning';
import type { ModuleName } from '../../core/python/moduleName';
import type { PythonTree } from '../../core/python/syntax/parse';
import type { NoteFiles } from '../noteFiles';
import { moduleNameOf } from './moduleName';
import { type PythonSource, pythonSourceOf } from './pythonSource';

/** The parser is a chunk of its own, loaded when the first name is asked for. */
const loadAnalysis = lazy(() => import('../../core/python/analysis'));

interface Parsed {
  readonly tree: PythonTree;
  readonly finder: MeaningFinder;
  readonly module: ModuleName | undefined;
}

/** How long the names of a long text are read before others get a turn, in milliseconds. */
const slice = 12;

/** Understands Python documents: parses one when it is first asked about, and again only as far as it changed. */
export class PythonDocuments {
  readonly table: () => Promise<SymbolTable>;
  readonly #parsed = new Map<string, Parsed>();
  readonly #disposables: vscode.Disposable;

  constructor(files: NoteFiles) {
    this.table = lazy(async () => new SymbolTable(await files.cards()));
    this.#disposables = vscode.Disposable.from(
      vscode.workspace.onDidCloseTextDocument((document) => this.#parsed.delete(document.uri.toString())),
      vscode.workspace.onDidCloseNotebookDocument((notebook) => this.#parsed.delete(notebook.uri.toString())),
    );
  }

  /** What stands at a position; undefined when it is not known or the request was cancelled. Offsets are the document's. */
  async meaningAt(
    document: vscode.TextDocument,
    position: vscode.Position,
    token: vscode.CancellationToken,
  ): Promise<Meaning | undefined> {
    const source = pythonSourceOf(document);
    const start = source.parts.find((part) => part.document === document)?.start ?? 0;
    const parsed = await this.#parse(source, token);
    const meaning = parsed?.finder.at(start + document.offsetAt(position));
    return meaning && { ...meaning, from: meaning.from - start, to: meaning.to - start };
  }

  /** All names of a document, or of the notebook it belongs to, and the source that their offsets are in. */
  async eachMeaning(
    document: vscode.TextDocument,
    token: vscode.CancellationToken,
    use: (meaning: Meaning) => void,
  ): Promise<PythonSource | undefined> {
    const source = pythonSourceOf(document);
    const parsed = await this.#parse(source, token);
    let turnEnds = performance.now() + slice;
    for (const meaning of parsed?.finder.all() ?? []) {
      use(meaning);
      if (performance.now() > turnEnds) {
        await new Promise((resolve) => setTimeout(resolve));
        turnEnds = performance.now() + slice;
      }
      if (token.isCancellationRequested) {
        return undefined;
      }
    }
    return parsed && source;
  }

  async #parse(source: PythonSource, token: vscode.CancellationToken): Promise<Parsed | undefined> {
    const [{ parsePython, MeaningFinder: Finder }, table] = await Promise.all([loadAnalysis(), this.table()]);
    const known = this.#parsed.get(source.key);
    const module = known ? known.module : await moduleNameOf(vscode.Uri.parse(source.key), table);
    const tree = await parsePython(source.text, known?.tree, () => token.isCancellationRequested);
    if (!tree) {
      return undefined;
    }
    const parsed = known?.tree === tree ? known : { tree, finder: new Finder(tree, table, module), module };
    this.#parsed.set(source.key, parsed);
    return parsed;
  }

  dispose(): void {
    this.#parsed.clear();
    this.#disposables.dispose();
  }
}
