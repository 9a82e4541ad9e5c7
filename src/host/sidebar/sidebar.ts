import * as vscode from 'vscode';
import { commands, contextKeys, stateKeys, views } from '../../contributions';
import type { NoteLibrary } from '../../core/library/noteLibrary';
import type { Topic } from '../../core/library/topic';
import type { TopicMarks } from '../marks/topicMarks';
import type { Settings } from '../settings';
import { type TopicOrder, TopicTree, type TopicTreeNode } from './topicTree';

export type FindTopics = (query: string) => Promise<readonly Topic[]>;

/** The Topics view: tree, filter and reveal of the article that is open. */
export class Sidebar {
  readonly tree: TopicTree;
  readonly #view: vscode.TreeView<TopicTreeNode>;
  readonly #library: NoteLibrary;
  readonly #find: FindTopics;
  readonly #state: vscode.Memento;
  readonly #disposables: vscode.Disposable;
  #shownTopic: string | undefined;
  #query = '';

  constructor(library: NoteLibrary, settings: Settings, marks: TopicMarks, state: vscode.Memento, find: FindTopics) {
    this.#state = state;
    this.#library = library;
    this.#find = find;
    this.tree = new TopicTree(
      library,
      () => settings.language,
      (topic) => marks.of(topic),
    );
    this.tree.orderBy(this.#order);
    this.#view = vscode.window.createTreeView(views.topics, { treeDataProvider: this.tree, showCollapseAll: true });
    this.#disposables = vscode.Disposable.from(
      this.#view,
      settings.onDidChangeLanguage(() => this.tree.refresh()),
      marks.onDidChange(() => this.tree.refresh()),
      this.#view.onDidChangeVisibility(() => this.#revealShown()),
      vscode.commands.registerCommand(commands.filterTopics, () => this.#askForFilter()),
      vscode.commands.registerCommand(commands.clearTopicFilter, () => this.filter('')),
      vscode.commands.registerCommand(commands.sortTopics, () => this.#sort()),
    );
  }

  /** Follows the article the reader looks at, without taking the focus or opening the view. */
  reveal(topic: string): void {
    this.#shownTopic = topic;
    this.#revealShown();
  }

  #revealShown(): void {
    const topic = this.#shownTopic === undefined ? undefined : this.#library.topic(this.#shownTopic);
    if (topic && this.#view.visible && this.#query === '') {
      void this.#view.reveal({ kind: 'topic', topic }, { select: true, focus: false });
    }
  }

  /** Leaves only the topics that match; an empty query shows all again. */
  async filter(query: string): Promise<void> {
    this.#query = query.trim();
    const wanted = this.#query;
    const found = wanted === '' ? undefined : await this.#find(wanted);
    if (wanted !== this.#query) {
      return;
    }
    this.tree.filterBy(found && { query: wanted, topics: new Set(found.map((topic) => topic.id)) });
    this.#view.message = found ? vscode.l10n.t('Filter: “{0}” · topics found: {1}', wanted, found.length) : '';
    await vscode.commands.executeCommand('setContext', contextKeys.topicsFiltered, found !== undefined);
    if (!found) {
      this.#revealShown();
    }
  }

  /** A damaged state counts as the order of the subjects. */
  get #order(): TopicOrder {
    return this.#state.get(stateKeys.topicOrder) === 'name' ? 'name' : 'subject';
  }

  async #sort(): Promise<void> {
    await this.#state.update(stateKeys.topicOrder, this.#order === 'name' ? 'subject' : 'name');
    this.tree.orderBy(this.#order);
    this.#revealShown();
  }

  #askForFilter(): void {
    const input = vscode.window.createInputBox();
    const before = this.#query;
    let accepted = false;
    input.title = vscode.l10n.t('Filter Topics');
    input.placeholder = vscode.l10n.t('English, Chinese, abbreviation or Python name');
    input.value = before;
    input.onDidChangeValue((value) => this.filter(value));
    input.onDidAccept(() => {
      accepted = true;
      input.hide();
    });
    input.onDidHide(() => {
      if (!accepted) {
        void this.filter(before);
      }
      input.dispose();
    });
    input.show();
  }

  dispose(): void {
    this.#disposables.dispose();
  }
}
