import * as vscode from 'vscode';
import { views } from '../../contributions';
import { type TopicUsage, UsageCollector } from '../../core/hover/topicUsage';
import type { NoteLibrary } from '../../core/library/noteLibrary';
import type { Topic } from '../../core/library/topic';
import type { Logger } from '../logger';
import type { PythonDocuments } from '../python/pythonDocuments';
import type { PythonSource } from '../python/pythonSource';
import type { Settings } from '../settings';
import { UsageTree } from './usageTree';

/** How long typing must rest before the file is read again, in milliseconds. */
const rest = 400;

/** The view In This File: the topics that the active Python file or notebook uses. Reads nothing while it is hidden. */
export class UsageView {
  readonly #library: NoteLibrary;
  readonly #documents: PythonDocuments;
  readonly #logger: Logger;
  readonly #tree: UsageTree;
  readonly #view: vscode.TreeView<unknown>;
  readonly #disposables: vscode.Disposable;
  #pending: ReturnType<typeof setTimeout> | undefined;
  #running = new vscode.CancellationTokenSource();

  constructor(library: NoteLibrary, documents: PythonDocuments, settings: Settings, logger: Logger) {
    this.#library = library;
    this.#documents = documents;
    this.#logger = logger;
    this.#tree = new UsageTree(() => settings.language);
    this.#view = vscode.window.createTreeView(views.usage, { treeDataProvider: this.#tree });
    this.#disposables = vscode.Disposable.from(
      this.#view,
      this.#view.onDidChangeVisibility(() => this.#soon(0)),
      vscode.window.onDidChangeActiveTextEditor((editor) => editor && this.#soon(0)),
      vscode.workspace.onDidChangeTextDocument(({ document }) => document === activeDocument() && this.#soon(rest)),
      settings.onDidChangeLanguage(() => this.#soon(0)),
    );
    this.#soon(0);
  }

  /** The topics of the file in front, in order of appearance. */
  async topics(): Promise<readonly Topic[]> {
    const document = activeDocument();
    const source = new vscode.CancellationTokenSource();
    const found = document && (await this.#read(document, source.token));
    source.dispose();
    return found?.usages.map((usage) => usage.topic) ?? [];
  }

  #soon(delay: number): void {
    clearTimeout(this.#pending);
    this.#pending = setTimeout(() => {
      if (this.#view.visible) {
        this.#update().catch((error: unknown) => this.#logger.error('reading the topics of the file', error));
      }
    }, delay);
  }

  async #update(): Promise<void> {
    this.#running.cancel();
    this.#running = new vscode.CancellationTokenSource();
    const { token } = this.#running;
    const document = activeDocument();
    if (!document) {
      this.#tree.show([]);
      return;
    }
    const found = await this.#read(document, token);
    if (found && !token.isCancellationRequested) {
      this.#tree.show(found.usages.flatMap((usage) => nodeOf(usage, found.source)));
    }
  }

  async #read(document: vscode.TextDocument, token: vscode.CancellationToken) {
    await this.#library.ready;
    const collector = new UsageCollector(await this.#documents.table(), this.#library);
    const source = await this.#documents.eachMeaning(document, token, (meaning) => collector.add(meaning));
    return source && { source, usages: collector.result() };
  }

  dispose(): void {
    clearTimeout(this.#pending);
    this.#running.dispose();
    this.#disposables.dispose();
  }
}

function activeDocument(): vscode.TextDocument | undefined {
  const document = vscode.window.activeTextEditor?.document;
  return document?.languageId === 'python' ? document : undefined;
}

function nodeOf({ topic, places }: TopicUsage, source: PythonSource) {
  const shown = places.flatMap(({ from, to }) => {
    const part = source.parts.find(({ start, end }) => start <= from && to <= end);
    return part
      ? [
          {
            document: part.document,
            range: new vscode.Range(
              part.document.positionAt(from - part.start),
              part.document.positionAt(to - part.start),
            ),
          },
        ]
      : [];
  });
  return shown.length > 0 ? [{ kind: 'topic', topic, places: shown } as const] : [];
}
