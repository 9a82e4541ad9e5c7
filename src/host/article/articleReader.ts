import * as vscode from 'vscode';
import { articleViewType, commands } from '../../contributions';
import type { Language } from '../../core/library/language';
import { type ArticleState, parseArticleState, top } from '../../protocol/articleState';
import { startReading } from '../../protocol/readingHistory';
import type { Settings } from '../settings';
import { ArticlePanel, type PanelParts } from './articlePanel';

export interface OpenOptions {
  readonly anchor?: string | undefined;
  readonly language?: Language | undefined;
  readonly beside?: boolean | undefined;
}

/** All article panels: opens topics, restores panels after a reload, and carries the commands on the panel in front. */
export class ArticleReader implements vscode.WebviewPanelSerializer {
  readonly #settings: Settings;
  readonly #parts: PanelParts;
  readonly #panels = new Set<ArticlePanel>();
  readonly #disposables: vscode.Disposable;
  #latest: ArticlePanel | undefined;

  constructor(settings: Settings, parts: Omit<PanelParts, 'events'>, onShown: (topic: string) => void) {
    this.#settings = settings;
    this.#parts = {
      ...parts,
      events: {
        onShown: (panel) => {
          this.#latest = panel;
          onShown(panel.topic);
        },
        openBeside: (topic, anchor) => void this.open(topic, { anchor, beside: true }),
        search: () => void vscode.commands.executeCommand(commands.searchTopics),
        onClosed: (panel) => this.#forget(panel),
      },
    };
    this.#disposables = vscode.Disposable.from(
      vscode.window.registerWebviewPanelSerializer(articleViewType, this),
      settings.onDidChangeLanguage(() => this.#followLanguage()),
      vscode.commands.registerCommand(commands.goBack, () => this.#active()?.goBack()),
      vscode.commands.registerCommand(commands.goForward, () => this.#active()?.goForward()),
      vscode.commands.registerCommand(commands.switchArticleLanguage, () => this.#active()?.switchLanguage()),
    );
  }

  /** Opens a topic: in the panel that is there (unless the setting or `beside` says otherwise), or in a new one. */
  async open(topic: string, { anchor, language, beside }: OpenOptions = {}): Promise<ArticlePanel> {
    const reusable = beside ? undefined : this.#reusable(topic);
    if (reusable) {
      await reusable.open(topic, anchor, language);
      return reusable;
    }
    const column = beside ? vscode.ViewColumn.Beside : vscode.ViewColumn.Active;
    const panel = vscode.window.createWebviewPanel(articleViewType, 'ML Field Notes', column, {
      enableFindWidget: true,
      enableScripts: true,
    });
    const position = anchor === undefined ? top : { anchor, offset: 0 };
    return this.#adopt(panel, startReading(topic, language ?? this.#settings.language, position));
  }

  async deserializeWebviewPanel(panel: vscode.WebviewPanel, kept: unknown): Promise<void> {
    const state = parseArticleState(kept);
    if (!state || !this.#parts.library.topic(state.place.topic)) {
      // A state of another version, or a topic that is gone: nothing to restore.
      panel.dispose();
      return;
    }
    this.#adopt(panel, state);
  }

  #adopt(webview: vscode.WebviewPanel, state: ArticleState): ArticlePanel {
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
    await Promise.all([...this.#panels].map((panel) => panel.switchLanguage(language)));
  }

  dispose(): void {
    this.#disposables.dispose();
  }
}
