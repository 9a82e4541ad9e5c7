import * as vscode from 'vscode';
import { hoverContent } from '../../core/hover/hoverContent';
import type { NoteLibrary } from '../../core/library/noteLibrary';
import type { Logger } from '../logger';
import type { NoteFiles } from '../noteFiles';
import type { PythonDocuments } from '../python/pythonDocuments';
import type { Settings } from '../settings';
import { hoverMarkdown } from './hoverMarkdown';

/** Explains names in Python files, notebook cells and untitled documents. */
export class HoverProvider implements vscode.HoverProvider {
  readonly #library: NoteLibrary;
  readonly #files: NoteFiles;
  readonly #documents: PythonDocuments;
  readonly #settings: Settings;
  readonly #logger: Logger;
  readonly #registration: vscode.Disposable;

  constructor(library: NoteLibrary, files: NoteFiles, documents: PythonDocuments, settings: Settings, logger: Logger) {
    this.#library = library;
    this.#files = files;
    this.#documents = documents;
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
      await this.#library.ready;
      const meaning = await this.#documents.meaningAt(document, position, token);
      if (!meaning || token.isCancellationRequested) {
        return undefined;
      }
      const parts = hoverContent(meaning, await this.#documents.table(), this.#library, language, options);
      if (!parts) {
        return undefined;
      }
      const theme = vscode.window.activeColorTheme.kind;
      const range = new vscode.Range(document.positionAt(meaning.from), document.positionAt(meaning.to));
      return new vscode.Hover(hoverMarkdown(parts, language, await this.#files.formulas(), theme), range);
    } catch (error) {
      this.#logger.tell(vscode.l10n.t('Hover cards could not be shown. Reinstall ML Field Notes to mend it.'), error);
      return undefined;
    }
  }

  /** The topic that explains what stands at a position. */
  async topicAt(document: vscode.TextDocument, position: vscode.Position): Promise<string | undefined> {
    const source = new vscode.CancellationTokenSource();
    try {
      await this.#library.ready;
      const meaning = await this.#documents.meaningAt(document, position, source.token);
      const options = { ...this.#settings.hover, mode: 'full', links: true } as const;
      const table = await this.#documents.table();
      const parts = meaning && hoverContent(meaning, table, this.#library, this.#settings.language, options);
      return parts?.find((part) => part.kind === 'links')?.topic;
    } finally {
      source.dispose();
    }
  }

  dispose(): void {
    this.#registration.dispose();
  }
}
