import * as vscode from 'vscode';
import { articleViewType, commands } from '../../contributions';
import type { Language } from '../../core/library/language';
import { type ArticleState, parseArticleState, top } from '../../protocol/articleState';
import { startReading } from '../../protocol/readingHistory';
import type { Settings } from '../settings';
import { ArticleExport } from './articleExport';
import { ArticlePanel, type PanelParts } from './articlePanel';

export interface OpenOptions {
  readonly anchor?: string | undefined;
  readonly language?: Language | undefined;
  readonly beside?: boolean | undefined;
  /** Text to mark in the article. */
  readonly find?: string | undefined;
}

/** The font size that an article has when the setting follows VS Code. */
const usualFontSize = 14;

/** All article panels: opens topics, restores panels after a reload, and carries the commands on the panel in front. */
export class ArticleReader implements vscode.WebviewPanelSerializer {
  readonly #settings: Settings;
  readonly #parts: PanelParts;
  readonly #exporter: ArticleExport;
  readonly #panels = new Set<ArticlePanel>();
  readonly #disposables: vscode.Disposable;
  #latest: ArticlePanel | undefined;

  constructor(settings: Settings, parts: Omit<PanelParts, 'events'>, onShown: (topic: string) => void) {
    this.#settings = settings;
    this.#exporter = new ArticleExport(parts.extension, parts.library, parts.articles, parts.logger);
    this.#parts = {
      ...parts,
      events: {
        onShown: (panel) => {
          this.#latest = panel;
          onShown(panel.topic);
        },
        openBeside: (topic, anchor) => void this.open(topic, { anchor, beside: true }),
        search: () => void vscode.commands.executeCommand(commands.searchTopics),
        exportArticle: (topic, language) => void this.#exporter.save(topic, language),
        onClosed: (panel) => this.#forget(panel),
      },
    };
    this.#disposables = vscode.Disposable.from(
      vscode.window.registerWebviewPanelSerializer(articleViewType, this),
      settings.onDidChangeLanguage(() => this.#followLanguage()),
      settings.onDidChangeAppearance(() => this.#each((panel) => panel.refreshAppearance())),
      parts.marks.onDidChange((topic) => this.#each((panel) => panel.refreshMark(topic))),
      vscode.commands.registerCommand(commands.goBack, () => this.#active()?.goBack()),
      vscode.commands.registerCommand(commands.goForward, () => this.#active()?.goForward()),
      vscode.commands.registerCommand(commands.switchArticleLanguage, () => this.#active()?.switchLanguage()),
      vscode.commands.registerCommand(commands.showBothLanguages, () => this.#active()?.toggleBoth()),
      vscode.commands.registerCommand(commands.exportArticle, () => this.#exportActive()),
      vscode.commands.registerCommand(commands.zoomIn, () => this.#zoom(1)),
      vscode.commands.registerCommand(commands.zoomOut, () => this.#zoom(-1)),
      vscode.commands.registerCommand(commands.resetZoom, () => settings.setFontSize(0)),
    );
  }

  /** Opens a topic: in the panel that is there (unless the setting or `beside` says otherwise), or in a new one. */
  async open(topic: string, { anchor, language, beside, find }: OpenOptions = {}): Promise<ArticlePanel> {
    await this.#parts.library.ready;
    const reusable = beside ? undefined : this.#reusable(topic);
    if (reusable) {
      reusable.markNext(find);
      await reusable.open(topic, anchor, language);
      return reusable;
    }
    const column = beside ? vscode.ViewColumn.Beside : vscode.ViewColumn.Active;
    const panel = vscode.window.createWebviewPanel(articleViewType, 'ML Field Notes', column, {
      enableScripts: true,
    });
    const position = anchor === undefined ? top : { anchor, offset: 0 };
    const adopted = this.#adopt(panel, startReading(topic, language ?? this.#settings.language, position));
    adopted.markNext(find);
    void adopted.start();
    return adopted;
  }

  async deserializeWebviewPanel(panel: vscode.WebviewPanel, kept: unknown): Promise<void> {
    await this.#parts.library.ready;
    const state = parseArticleState(kept);
    if (!state || !this.#parts.library.topic(state.place.topic)) {
      // A state of another version, or a topic that is gone: nothing to restore.
      panel.dispose();
      return;
    }
    await this.#adopt(panel, state).start();
  }

  #adopt(webview: vscode.WebviewPanel, state: ArticleState): ArticlePanel {
    this.#parts.articles.prepare();
    this.#parts.page.prepare();
    const panel = new ArticlePanel(webview, state, this.#parts);
    this.#panels.add(panel);
    return panel;
  }

  #reusable(topic: string): ArticlePanel | undefined {
    const panels = [...this.#panels];
    return this.#settings.reusePanel ? (this.#active() ?? this.#latest) : panels.find((panel) => panel.topic === topic);
  }

  #active(): ArticlePanel | undefined {
    return [...this.#panels].find((panel) => panel.active);
  }

  #forget(panel: ArticlePanel): void {
    this.#panels.delete(panel);
    if (this.#latest === panel) {
      this.#latest = [...this.#panels].at(-1);
    }
  }

  async #followLanguage(): Promise<void> {
    const { language } = this.#settings;
    await this.#each((panel) => panel.switchLanguage(language));
  }

  async #each(action: (panel: ArticlePanel) => Promise<void>): Promise<void> {
    await Promise.all([...this.#panels].map(action));
  }

  async #exportActive(): Promise<void> {
    const panel = this.#active();
    if (panel) {
      await this.#exporter.save(panel.topic, panel.language);
    }
  }

  /** From the size that VS Code shows articles in, in steps of a pixel. */
  async #zoom(step: number): Promise<void> {
    const current = this.#settings.appearance.fontSize || usualFontSize;
    await this.#settings.setFontSize(Math.min(40, Math.max(8, current + step)));
  }

  dispose(): void {
    this.#disposables.dispose();
  }
}
