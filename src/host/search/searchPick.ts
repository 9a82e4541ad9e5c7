import * as vscode from 'vscode';
import type { Language } from '../../core/library/language';
import type { NoteLibrary } from '../../core/library/noteLibrary';
import type { Topic } from '../../core/library/topic';
import type { SearchResult } from '../../core/search/topicSearch';
import type { OpenOptions } from '../article/articleReader';
import type { Settings } from '../settings';
import type { RecentTopics } from './recentTopics';
import type { TopicFinder } from './topicFinder';

interface TopicItem extends vscode.QuickPickItem {
  readonly topic?: string;
}

/** `ML Field Notes: Search Topics`: one box over all topics, in our own order. */
export class SearchPick {
  readonly #library: NoteLibrary;
  readonly #finder: TopicFinder;
  readonly #recent: RecentTopics;
  readonly #settings: Settings;
  readonly #open: (topic: string, options?: OpenOptions) => void;

  constructor(
    library: NoteLibrary,
    finder: TopicFinder,
    recent: RecentTopics,
    settings: Settings,
    open: (topic: string, options?: OpenOptions) => void,
  ) {
    this.#library = library;
    this.#finder = finder;
    this.#recent = recent;
    this.#settings = settings;
    this.#open = open;
  }

  show(query = ''): void {
    const { language } = this.#settings;
    const pick = vscode.window.createQuickPick<TopicItem>();
    pick.placeholder = vscode.l10n.t('Search topics: English, Chinese, pinyin, abbreviation or Python name');
    pick.value = query;
    keepOwnOrder(pick);
    // Enter may come before the rows of what was typed: then it waits for them, and means the first.
    let filled: string | undefined;
    const fill = async (value: string) => {
      await this.#fill(pick, value, language);
      filled = value;
    };
    pick.onDidChangeValue(fill);
    pick.onDidAccept(async () => {
      if (filled !== pick.value) {
        await fill(pick.value);
      }
      // The active row may still be one of the rows before: what is meant then is the first of those that fit.
      const chosen = pick.activeItems.filter((item) => pick.items.includes(item));
      this.#accept(pick, [...chosen, ...pick.items]);
    });
    pick.onDidTriggerItemButton(({ item }) => {
      if (item.topic !== undefined) {
        this.#open(item.topic, { beside: true });
        pick.hide();
      }
    });
    pick.onDidHide(() => pick.dispose());
    void fill(query);
    pick.show();
  }

  #accept(pick: vscode.QuickPick<TopicItem>, items: readonly TopicItem[]): void {
    const topic = items.find((item) => item.topic !== undefined)?.topic;
    if (topic !== undefined) {
      pick.hide();
      this.#open(topic);
    }
  }

  async #fill(pick: vscode.QuickPick<TopicItem>, value: string, language: Language): Promise<void> {
    await this.#library.ready;
    if (value.trim() === '') {
      pick.items = this.#startItems(language);
      return;
    }
    const results = await this.#finder.find(value);
    // A slow answer to an older text must not replace a newer one.
    if (pick.value === value) {
      pick.items = results.map((result) => this.#item(result.topic, language, result));
    }
  }

  #startItems(language: Language): TopicItem[] {
    const recent = this.#recent.topics;
    const others = this.#library.topics.filter((topic) => !recent.includes(topic));
    return [
      ...(recent.length > 0 ? [separator(vscode.l10n.t('recently opened'))] : []),
      ...recent.map((topic) => this.#item(topic, language)),
      separator(vscode.l10n.t('all topics')),
      ...others.map((topic) => this.#item(topic, language)),
    ];
  }

  #item(topic: Topic, language: Language, result?: SearchResult): TopicItem {
    const other: Language = language === 'en' ? 'zh-cn' : 'en';
    const reason =
      result && !isTitle(result.reason.shown, topic) && result.reason.kind !== 'pinyin'
        ? result.reason.shown
        : undefined;
    const path = this.#library.pathOf(topic).map((category) => category.title[language]);
    return {
      topic: topic.id,
      label: topic.title[language],
      description: [topic.title[other], reason].filter((part) => part !== undefined).join(' · '),
      detail: path.join(' › '),
      alwaysShow: true,
      buttons: [{ iconPath: new vscode.ThemeIcon('split-horizontal'), tooltip: vscode.l10n.t('Open to the Side') }],
    };
  }
}

function isTitle(text: string, topic: Topic): boolean {
  return text === topic.title.en || text === topic.title['zh-cn'];
}

function separator(label: string): TopicItem {
  return { label, kind: vscode.QuickPickItemKind.Separator };
}

/**
 * VS Code sorts a quick pick by its own match of the label unless this property says no. It is no public API yet (vscode #73904): where it
 * is ignored the rows are the same, only their order is not ours.
 */
function keepOwnOrder(pick: vscode.QuickPick<TopicItem>): void {
  (pick as { sortByLabel?: boolean }).sortByLabel = false;
}
