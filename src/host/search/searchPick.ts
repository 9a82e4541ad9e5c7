import * as vscode from 'vscode';
import type { Language } from '../../core/library/language';
import type { NoteLibrary } from '../../core/library/noteLibrary';
import type { Topic } from '../../core/library/topic';
import type { SearchResult } from '../../core/search/topicSearch';
import type { OpenOptions } from '../article/articleReader';
import type { Logger } from '../logger';
import type { TopicMarks } from '../marks/topicMarks';
import type { Settings } from '../settings';
import { topicUri } from '../topicLinks';
import { ActiveRow } from './activeRow';
import type { RecentTopics } from './recentTopics';
import {
  group,
  passageRow,
  type RowButton,
  type SearchRow,
  type SearchTarget,
  textModeRow,
  topicRow,
} from './searchRows';
import { textAtCursor } from './textAtCursor';
import type { TopicFinder } from './topicFinder';

export interface SearchParts {
  readonly library: NoteLibrary;
  readonly finder: TopicFinder;
  readonly recent: RecentTopics;
  readonly marks: TopicMarks;
  readonly settings: Settings;
  readonly logger: Logger;
  readonly topicsOfActiveFile: () => Promise<readonly Topic[]>;
  readonly open: (topic: string, options?: OpenOptions) => void;
}

/** `ML Field Notes: Search Topics`: one box over all topics in our own order; `?` before a text searches the articles. */
export class SearchPick {
  readonly #parts: SearchParts;

  constructor(parts: SearchParts) {
    this.#parts = parts;
  }

  show(query = ''): void {
    new OpenSearch(this.#parts, query);
  }
}

/** More would push the topics of the file out of sight. */
const recentRows = 5;

/** Headings lead nowhere, and VS Code passes them over. */
const leadsOn = ({ target, query }: SearchRow) => target !== undefined || query !== undefined;

/** The box while it is open. */
class OpenSearch {
  readonly #parts: SearchParts;
  readonly #language: Language;
  readonly #pick = vscode.window.createQuickPick<SearchRow>();
  readonly #atCursor = textAtCursor();
  readonly #active = new ActiveRow<SearchRow>();
  #rows: readonly SearchRow[] = [];
  /** The text that the rows belong to. */
  #filled: string | undefined;

  constructor(parts: SearchParts, query: string) {
    this.#parts = parts;
    this.#language = parts.settings.language;
    const pick = this.#pick;
    pick.placeholder = vscode.l10n.t('Topic, abbreviation, pinyin or Python name; ? first searches the text');
    pick.value = query;
    pick.matchOnDescription = true;
    keepOwnOrder(pick);
    pick.onDidChangeValue(() => this.#fill());
    pick.onDidChangeActive(([row]) => this.#active.report(row));
    pick.onDidAccept(() => this.#accept());
    pick.onDidTriggerItemButton(({ item, button }) => this.#act(item, button as RowButton));
    pick.onDidHide(() => pick.dispose());
    pick.show();
    void this.#fill();
  }

  async #fill(): Promise<void> {
    try {
      await this.#fillFor(this.#pick.value);
    } catch (error) {
      this.#parts.logger.tell(
        vscode.l10n.t('The search could not be used. Reinstall ML Field Notes to mend it.'),
        error,
      );
    }
  }

  /** Rows for an older text must neither replace those for a newer one nor cost it time. */
  async #fillFor(value: string): Promise<void> {
    const isStale = () => this.#pick.value !== value;
    const show = (rows: readonly SearchRow[]) => {
      if (!isStale()) {
        this.#pick.items = rows;
        this.#rows = rows;
        this.#active.expect(rows.find(leadsOn));
        this.#filled = value;
      }
    };
    await this.#parts.library.ready;
    const [, mark, text = ''] = /^\s*([?？]?)(.*)$/s.exec(value) ?? [];
    if (mark) {
      show(await this.#passageRows(text, isStale));
    } else if (text.trim() !== '') {
      show(await this.#topicRows(text, isStale));
    } else {
      const start = await this.#startRows();
      show(start([]));
      const ofFile = await this.#parts.topicsOfActiveFile();
      const active = this.#active.row?.target?.topic;
      if (ofFile.length > 0) {
        show(start(ofFile));
        this.#keepActive(active, isStale);
      }
    }
  }

  /** Rows that came in must not take the reader away from the row gone to meanwhile. */
  #keepActive(topic: string | undefined, isStale: () => boolean): void {
    const row = this.#rows.find(({ target }) => target?.topic === topic);
    if (row && !isStale()) {
      this.#pick.activeItems = [row];
      this.#active.expect(row);
    }
  }

  async #passageRows(text: string, isStale: () => boolean): Promise<readonly SearchRow[]> {
    const results = await this.#parts.finder.findInText(text, this.#language, isStale);
    return results.map((result) => passageRow(result, this.#language));
  }

  async #topicRows(text: string, isStale: () => boolean): Promise<readonly SearchRow[]> {
    const results = await this.#parts.finder.find(text, isStale);
    return [...results.map((result) => this.#row(result.topic, result)), textModeRow(text.trim())];
  }

  /** What is offered before anything is typed; the topics of the file take a moment, and come in without moving the first rows. */
  async #startRows(): Promise<(ofFile: readonly Topic[]) => readonly SearchRow[]> {
    const { library, recent, marks, finder } = this.#parts;
    const found = this.#atCursor === '' ? [] : await finder.find(this.#atCursor);
    const named = found.filter((result) => result.isExact).slice(0, 3);
    const results = new Map(named.map((result) => [result.topic, result]));
    const saved = marks.saved.flatMap((id) => library.topic(id) ?? []);
    return (ofFile) => {
      const shown = new Set<Topic>();
      const rows = (topics: readonly Topic[]) => {
        const fresh = topics.filter((topic) => !shown.has(topic));
        for (const topic of fresh) {
          shown.add(topic);
        }
        return fresh.map((topic) => this.#row(topic, results.get(topic)));
      };
      return [
        ...group(vscode.l10n.t('“{0}” at the cursor', this.#atCursor), rows(named.map(({ topic }) => topic))),
        ...group(vscode.l10n.t('recently opened'), rows(recent.topics.slice(0, recentRows))),
        ...group(vscode.l10n.t('saved'), rows(saved)),
        ...group(vscode.l10n.t('in this file'), rows(ofFile)),
        ...group(vscode.l10n.t('all topics'), rows(library.topics)),
      ];
    };
  }

  #row(topic: Topic, result?: SearchResult): SearchRow {
    return topicRow(topic, this.#language, this.#parts.library, result);
  }

  /** Enter may come before the rows of what was typed are there. */
  async #accept(): Promise<void> {
    if (this.#filled !== this.#pick.value) {
      await this.#fill();
    }
    const { row } = this.#active;
    if (row?.target) {
      this.#open(row.target, false);
    } else if (row?.query !== undefined) {
      this.#pick.value = row.query;
      await this.#fill();
    }
  }

  #open({ topic, anchor, find }: SearchTarget, beside: boolean): void {
    this.#pick.hide();
    this.#parts.open(topic, { anchor, find, beside });
  }

  async #act({ target }: SearchRow, { action }: RowButton): Promise<void> {
    switch (action.kind) {
      case 'beside':
        return target && this.#open(target, true);
      case 'copyLink':
        return target && vscode.env.clipboard.writeText(topicUri(target.topic, target.anchor));
      case 'docs':
        await vscode.env.openExternal(vscode.Uri.parse(action.url, true));
    }
  }
}

/**
 * VS Code sorts a quick pick by its own match of the label unless this property says no. It is no public API yet (vscode #73904): where it
 * is ignored the rows are the same, only their order is not ours.
 */
function keepOwnOrder(pick: vscode.QuickPick<SearchRow>): void {
  (pick as { sortByLabel?: boolean }).sortByLabel = false;
}
