import * as vscode from 'vscode';
import type { Language } from '../../core/library/language';
import type { NoteLibrary } from '../../core/library/noteLibrary';
import type { Topic } from '../../core/library/topic';
import { type ArticleView, type FromPage, parseFromPage, type ToPage } from '../../protocol/articleMessages';
import { type ArticleState, type Position, top } from '../../protocol/articleState';
import { goBack, goForward, goTo, moved, switchLanguage, toggleBoth } from '../../protocol/readingHistory';
import type { Logger } from '../logger';
import type { TopicMarks } from '../marks/topicMarks';
import type { Settings } from '../settings';
import { articlePage, pageRoots } from './articlePage';
import type { Articles } from './articles';
import { insertCode } from './insertCode';

/** What a panel tells the outside. */
export interface PanelEvents {
  /** The topic that the reader looks at changed, or the panel came to the front. */
  readonly onShown: (panel: ArticlePanel) => void;
  readonly openBeside: (topic: string, anchor: string | undefined) => void;
  readonly search: () => void;
  readonly exportArticle: (topic: string, language: Language) => void;
  readonly onClosed: (panel: ArticlePanel) => void;
}

export interface PanelParts {
  readonly extension: vscode.Uri;
  readonly library: NoteLibrary;
  readonly articles: Articles;
  readonly settings: Settings;
  readonly marks: TopicMarks;
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
  #toMark: string | undefined;
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

  /** Has a text marked in the article that is shown next. */
  markNext(text: string | undefined): void {
    this.#toMark = text;
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

  async toggleBoth(): Promise<void> {
    await this.#go(toggleBoth(this.#state));
  }

  /** Takes over changed settings without touching what the reader looks at. */
  async refreshAppearance(): Promise<void> {
    await this.#post({ type: 'appearance', appearance: this.#parts.settings.appearance });
  }

  async refreshMark(topic: string): Promise<void> {
    if (topic === this.topic) {
      await this.#post({ type: 'mark', topic, mark: this.#parts.marks.of(topic) });
    }
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
    const article = await this.#view(topic, this.#state);
    if (article && request === this.#request) {
      const { marks, settings } = this.#parts;
      const mark = marks.of(topic.id);
      await this.#post({ type: 'show', article, state: this.#state, appearance: settings.appearance, mark });
      await this.#markText();
    }
  }

  async #markText(): Promise<void> {
    const text = this.#toMark;
    this.#toMark = undefined;
    if (text !== undefined) {
      await this.#post({ type: 'find', text });
    }
  }

  /** The article; where its text cannot be read, the user is told and sees what there is without it. */
  async #view(topic: Topic, state: ArticleState): Promise<ArticleView | undefined> {
    const { articles } = this.#parts;
    try {
      return await articles.view(topic, state.language, state.both);
    } catch (error) {
      this.#parts.logger.tell(
        vscode.l10n.t(
          'The article “{0}” could not be read. Reinstall ML Field Notes to mend it.',
          topic.title[state.language],
        ),
        error,
      );
      return articles.viewWithoutText(topic, state.language).catch(() => undefined);
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
      case 'toggleBoth':
        return this.toggleBoth();
      case 'toggleSaved':
        return this.#parts.marks.toggle(this.topic, 'saved');
      case 'toggleRead':
        return this.#parts.marks.toggle(this.topic, 'read');
      case 'search':
        return this.#parts.events.search();
      case 'export':
        return this.#parts.events.exportArticle(this.topic, this.language);
      case 'copy':
        await vscode.env.clipboard.writeText(message.text);
        return;
      case 'insertCode':
        return insertCode(message.code);
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
