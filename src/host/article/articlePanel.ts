import * as vscode from 'vscode';
import type { Language } from '../../core/library/language';
import type { NoteLibrary } from '../../core/library/noteLibrary';
import type { Topic } from '../../core/library/topic';
import { type FromPage, parseFromPage, type Showing, showingKey, type ToPage } from '../../protocol/articleMessages';
import { type ArticleState, type Position, top } from '../../protocol/articleState';
import { calculated, goBack, goForward, goTo, moved, switchLanguage, toggleBoth } from '../../protocol/readingHistory';
import type { Logger } from '../logger';
import type { TopicMarks } from '../marks/topicMarks';
import type { Settings } from '../settings';
import type { ArticlePage } from './articlePage';
import type { Articles, ReadArticle } from './articles';
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
  readonly page: ArticlePage;
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
  #disposed = false;
  /** What follows the opening of the article shown. */
  #rest: { readonly key: string; readonly render: () => string } | undefined;
  #toMark: string | undefined;
  readonly #painted: (() => void)[] = [];

  constructor(panel: vscode.WebviewPanel, state: ArticleState, parts: PanelParts) {
    this.#panel = panel;
    this.#state = state;
    this.#parts = parts;
    panel.iconPath = vscode.Uri.joinPath(parts.extension, 'media', 'icon.png');
    panel.webview.options = { enableScripts: true, localResourceRoots: [...parts.page.roots] };
    panel.webview.onDidReceiveMessage((message) => this.#receive(parseFromPage(message)));
    panel.onDidChangeViewState(() => panel.active && parts.events.onShown(this));
    panel.onDidDispose(() => {
      this.#disposed = true;
      parts.events.onClosed(this);
    });
    this.#setTitle();
    parts.events.onShown(this);
  }

  /** Writes the page; the article is in it, so that it needs no round trip to be seen. */
  async start(): Promise<void> {
    try {
      const html = await this.#parts.page.write(this.#panel.webview, await this.#showing());
      if (!this.#disposed) {
        this.#panel.webview.html = html;
      }
    } catch (error) {
      this.#parts.logger.tell(
        vscode.l10n.t('The article page could not be made. Reinstall ML Field Notes to mend it.'),
        error,
      );
    }
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
    if (!this.#panel.active) {
      this.#panel.reveal(undefined, false);
    }
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
      await this.#show();
      // After the article: the window would first write the title, and reveal the topic in the sidebar.
      this.#setTitle();
      this.#parts.events.onShown(this);
    }
  }

  #setTitle(): void {
    this.#panel.title = this.#parts.library.topic(this.topic)?.title[this.language] ?? 'ML Field Notes';
  }

  /** Sends the article of the state; before the page is ready that waits for its `ready`. */
  async #show(): Promise<void> {
    this.#request += 1;
    const request = this.#request;
    if (!this.#ready) {
      return;
    }
    const showing = await this.#showing();
    if (showing && request === this.#request) {
      await this.#post({ type: 'show', showing });
      await this.#sendRest();
      await this.#markText();
    }
  }

  /** What the page is to show; of an article that is opened at its top, the opening alone at first. */
  async #showing(): Promise<Showing | undefined> {
    const state = this.#state;
    const topic = this.#parts.library.topic(state.place.topic);
    const article = topic
      ? await this.#read(topic, state)
      : { view: await this.#parts.articles.viewOfMissing(state.place.topic, state.language) };
    if (!article) {
      return undefined;
    }
    this.#rest = article.rest && { key: showingKey(state), render: article.rest };
    const { marks, settings } = this.#parts;
    return { article: article.view, state, appearance: settings.appearance, mark: marks.of(state.place.topic) };
  }

  async #sendRest(): Promise<void> {
    const rest = this.#rest;
    if (rest?.key === showingKey(this.#state)) {
      await this.#post({ type: 'rest', key: rest.key, html: rest.render() });
    }
  }

  /** A page was made, or made again after it was hidden: the text in it may be that of now, or not. */
  async #onReady(shows: string | undefined): Promise<void> {
    this.#ready = true;
    if (shows !== showingKey(this.#state)) {
      return this.#show();
    }
    await this.refreshAppearance();
    await this.refreshMark(this.topic);
    await this.#sendRest();
    await this.#markText();
  }

  async #markText(): Promise<void> {
    const text = this.#toMark;
    this.#toMark = undefined;
    if (text !== undefined) {
      await this.#post({ type: 'find', text });
    }
  }

  /** The article; where its text cannot be read, the user is told and sees what there is without it. */
  async #read(topic: Topic, state: ArticleState): Promise<ReadArticle | undefined> {
    const { articles } = this.#parts;
    const { language, both, place, opened } = state;
    const isAtTop = place.anchor === 'top' && place.offset === 0 && opened.length === 0 && this.#toMark === undefined;
    try {
      return both
        ? { view: await articles.viewOfBoth(topic, language) }
        : await articles.read(topic, language, isAtTop ? 'opening' : 'whole');
    } catch (error) {
      this.#parts.logger.tell(
        vscode.l10n.t(
          'The article “{0}” could not be read. Reinstall ML Field Notes to mend it.',
          topic.title[language],
        ),
        error,
      );
      const view = await articles.viewWithoutText(topic, language).catch(() => undefined);
      return view && { view };
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
        return this.#onReady(message.shows);
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
        return;
      case 'calculated':
        this.#state = calculated(this.#state, message.topic, message.calculator, message.inputs);
    }
  }

  async #openFromPage(topic: string, anchor: string | undefined, beside: boolean): Promise<void> {
    if (beside) {
      this.#parts.events.openBeside(topic, anchor);
    } else {
      await this.open(topic, anchor);
    }
  }

  dispose(): void {
    this.#panel.dispose();
  }
}
