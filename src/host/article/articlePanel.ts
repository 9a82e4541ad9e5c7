import * as vscode from 'vscode';
import type { Language } from '../../core/library/language';
import type { NoteLibrary } from '../../core/library/noteLibrary';
import { type FromPage, parseFromPage, type ToPage } from '../../protocol/articleMessages';
import { type ArticleState, type Position, top } from '../../protocol/articleState';
import { goBack, goForward, goTo, moved, switchLanguage } from '../../protocol/readingHistory';
import type { Logger } from '../logger';
import { articlePage, pageRoots } from './articlePage';
import type { Articles } from './articles';

/** What a panel tells the outside. */
export interface PanelEvents {
  /** The topic that the reader looks at changed, or the panel came to the front. */
  readonly onShown: (panel: ArticlePanel) => void;
  readonly openBeside: (topic: string, anchor: string | undefined) => void;
  readonly search: () => void;
  readonly onClosed: (panel: ArticlePanel) => void;
}

export interface PanelParts {
  readonly extension: vscode.Uri;
  readonly library: NoteLibrary;
  readonly articles: Articles;
  readonly logger: Logger;
  readonly events: PanelEvents;
}

/** One webview panel with its history. The state lives here; the page keeps a copy for a reload. */
export class ArticlePanel {
  readonly #panel: vscode.WebviewPanel;
  readonly #parts: PanelParts;
  #state: ArticleState;
  /** Counts the articles asked for, so that a slow one never replaces a later one. */
  #request = 0;
  #ready = false;
  readonly #painted: (() => void)[] = [];

  constructor(panel: vscode.WebviewPanel, state: ArticleState, parts: PanelParts) {
    this.#panel = panel;
    this.#state = state;
    this.#parts = parts;
    panel.iconPath = vscode.Uri.joinPath(parts.extension, 'media', 'icon.png');
    panel.webview.options = { enableScripts: true, localResourceRoots: [...pageRoots(parts.extension)] };
    panel.webview.onDidReceiveMessage((message) => this.#receive(parseFromPage(message)));
    panel.onDidChangeViewState(() => panel.active && parts.events.onShown(this));
    panel.onDidDispose(() => parts.events.onClosed(this));
    panel.webview.html = articlePage(panel.webview, parts.extension);
    this.#setTitle();
    parts.events.onShown(this);
  }

  get topic(): string {
    return this.#state.place.topic;
  }

  get language(): Language {
    return this.#state.language;
  }

  get active(): boolean {
    return this.#panel.active;
  }

  get column(): vscode.ViewColumn | undefined {
    return this.#panel.viewColumn;
  }

  /** Resolves when the page says that the article asked for last is on the screen. */
  async painted(): Promise<void> {
    return new Promise((resolve) => this.#painted.push(resolve));
  }

  async open(topic: string, anchor: string | undefined, language: Language = this.language): Promise<void> {
    const position: Position = anchor === undefined ? top : { anchor, offset: 0 };
    this.#panel.reveal(undefined, false);
    await this.#go({ ...goTo(this.#state, topic, position), language });
  }

  async goBack(): Promise<void> {
    await this.#go(goBack(this.#state));
  }

  async goForward(): Promise<void> {
    await this.#go(goForward(this.#state));
  }

  async switchLanguage(language: Language = this.language === 'en' ? 'zh-cn' : 'en'): Promise<void> {
    await this.#go(switchLanguage(this.#state, language));
  }

  async #go(state: ArticleState | undefined): Promise<void> {
    if (state) {
      this.#state = state;
      this.#setTitle();
      this.#parts.events.onShown(this);
      await this.#show();
    }
  }

  #setTitle(): void {
    this.#panel.title = this.#parts.library.topic(this.topic)?.title[this.language] ?? 'ML Field Notes';
  }

  /** Sends the article of the state; before the page is ready that waits for its `ready`. */
  async #show(): Promise<void> {
    this.#request += 1;
    const request = this.#request;
    const topic = this.#parts.library.topic(this.topic);
    if (!topic || !this.#ready) {
      return;
    }
    const state = this.#state;
    try {
      const article = await this.#parts.articles.view(topic, state.language);
      if (request === this.#request) {
        await this.#post({ type: 'show', article, state: this.#state });
      }
    } catch (error) {
      this.#parts.logger.tell(
        vscode.l10n.t(
          'The article “{0}” could not be read. Reinstall ML Field Notes to mend it.',
          topic.title[state.language],
        ),
        error,
      );
    }
  }

  async #post(message: ToPage): Promise<void> {
    await this.#panel.webview.postMessage(message);
  }

  async #receive(message: FromPage | undefined): Promise<void> {
    switch (message?.type) {
      case undefined:
        return;
      case 'ready':
        this.#ready = true;
        return this.#show();
      case 'painted':
        for (const resolve of this.#painted.splice(0)) {
          resolve();
        }
        return;
      case 'openTopic':
        return this.#openFromPage(message.topic, message.anchor, message.beside);
      case 'openExternal':
        await vscode.env.openExternal(vscode.Uri.parse(message.url, true));
        return;
      case 'goBack':
        return this.goBack();
      case 'goForward':
        return this.goForward();
      case 'switchLanguage':
        return this.switchLanguage();
      case 'search':
        return this.#parts.events.search();
      case 'moved':
        this.#state = moved(this.#state, message.topic, message.position, message.opened);
    }
  }

  async #openFromPage(topic: string, anchor: string | undefined, beside: boolean): Promise<void> {
    if (beside) {
      this.#parts.events.openBeside(topic, anchor);
    } else if (this.#parts.library.topic(topic)) {
      await this.open(topic, anchor);
    }
  }

  dispose(): void {
    this.#panel.dispose();
  }
}
