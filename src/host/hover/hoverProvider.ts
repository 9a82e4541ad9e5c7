import * as vscode from 'vscode';
import { hoverContent } from '../../core/hover/hoverContent';
import { lazy } from '../../core/lazy';
import type { NoteLibrary } from '../../core/library/noteLibrary';
import { SymbolTable } from '../../core/library/symbolTable';
import type { Meaning } from '../../core/python/meaning';
import type { Logger } from '../logger';
import type { NoteFiles } from '../noteFiles';
import type { Settings } from '../settings';
import { hoverMarkdown } from './hoverMarkdown';
import { PythonDocuments } from './pythonDocuments';

/** Explains names in Python files, notebook cells and untitled documents. */
export class HoverProvider implements vscode.HoverProvider {
  readonly #library: NoteLibrary;
  readonly #files: NoteFiles;
  readonly #settings: Settings;
  readonly #logger: Logger;
  readonly #documents = new PythonDocuments();
  readonly #table = lazy(async () => new SymbolTable(await this.#files.cards()));
  readonly #registration: vscode.Disposable;

  constructor(library: NoteLibrary, files: NoteFiles, settings: Settings, logger: Logger) {
    this.#library = library;
    this.#files = files;
    this.#settings = settings;
    this.#logger = logger;
    this.#registration = vscode.languages.registerHoverProvider({ language: 'python' }, this);
  }

  async provideHover(
    document: vscode.TextDocument,
    position: vscode.Position,
    token: vscode.CancellationToken,
  ): Promise<vscode.Hover | undefined> {
    const { hover: options, language } = this.#settings;
    if (options.mode === 'off') {
      return undefined;
    }
    try {
      const meaning = await this.meaningAt(document, position, token);
      if (!meaning || token.isCancellationRequested) {
        return undefined;
      }
      const parts = hoverContent(meaning, await this.#table(), this.#library, language, options);
      const range = new vscode.Range(document.positionAt(meaning.from), document.positionAt(meaning.to));
      return (
        parts &&
        new vscode.Hover(
          hoverMarkdown(parts, language, await this.#files.formulas(), vscode.window.activeColorTheme.kind),
          range,
        )
      );
    } catch (error) {
      this.#logger.tell(vscode.l10n.t('Hover cards could not be shown. Reinstall ML Field Notes to mend it.'), error);
      return undefined;
    }
  }

  async meaningAt(
    document: vscode.TextDocument,
    position: vscode.Position,
    token: vscode.CancellationToken,
  ): Promise<Meaning | undefined> {
    return this.#documents.meaningAt(document, document.offsetAt(position), await this.#table(), token);
  }

  /** The topic that explains what stands at a position. */
  async topicAt(document: vscode.TextDocument, position: vscode.Position): Promise<string | undefined> {
    const source = new vscode.CancellationTokenSource();
    try {
      const meaning = await this.meaningAt(document, position, source.token);
      const options = { ...this.#settings.hover, mode: 'full', links: true } as const;
      const parts =
        meaning && hoverContent(meaning, await this.#table(), this.#library, this.#settings.language, options);
      return parts?.find((part) => part.kind === 'links')?.topic;
    } finally {
      source.dispose();
    }
  }

  dispose(): void {
    this.#documents.dispose();
    this.#registration.dispose();
  }
}
