import * as vscode from 'vscode';
import type { Language } from '../../core/library/language';
import type { NoteLibrary } from '../../core/library/noteLibrary';
import type { Category, Topic } from '../../core/library/topic';
import type { TopicMark } from '../../protocol/articleMessages';
import { topicItem } from './topicItem';

export type TopicTreeNode =
  | { readonly kind: 'category'; readonly category: Category }
  | { readonly kind: 'topic'; readonly topic: Topic };

/** Which topics the tree shows: all of them, or those that a filter left. */
export interface TopicFilter {
  readonly query: string;
  readonly topics: ReadonlySet<string>;
}

/** As the field guide has them, from the foundations up, or by their names. */
export type TopicOrder = 'subject' | 'name';

/** Categories (two levels), then topics. Ids never depend on the language, so a switch keeps what is expanded. */
export class TopicTree implements vscode.TreeDataProvider<TopicTreeNode> {
  readonly #library: NoteLibrary;
  readonly #language: () => Language;
  readonly #markOf: (topic: string) => TopicMark;
  readonly #changed = new vscode.EventEmitter<TopicTreeNode | undefined>();
  readonly onDidChangeTreeData = this.#changed.event;
  #filter: TopicFilter | undefined;
  #order: TopicOrder = 'subject';

  constructor(library: NoteLibrary, language: () => Language, markOf: (topic: string) => TopicMark) {
    this.#markOf = markOf;
    this.#library = library;
    this.#language = language;
  }

  refresh(): void {
    this.#changed.fire(undefined);
  }

  filterBy(filter: TopicFilter | undefined): void {
    this.#filter = filter;
    this.refresh();
  }

  orderBy(order: TopicOrder): void {
    this.#order = order;
    this.refresh();
  }

  async getChildren(node?: TopicTreeNode): Promise<TopicTreeNode[]> {
    await this.#library.ready;
    if (!node) {
      return this.#shown(this.#library.rootCategories());
    }
    if (node.kind === 'topic') {
      return [];
    }
    return [
      ...this.#shown(this.#library.subcategoriesOf(node.category)),
      ...this.#topicsIn(node.category).map((topic): TopicTreeNode => ({ kind: 'topic', topic })),
    ];
  }

  getParent(node: TopicTreeNode): TopicTreeNode | undefined {
    const id = node.kind === 'topic' ? node.topic.category : node.category.parent;
    const category = id === undefined ? undefined : this.#library.category(id);
    return category && { kind: 'category', category };
  }

  getTreeItem(node: TopicTreeNode): vscode.TreeItem {
    return node.kind === 'topic' ? this.#topicItem(node.topic) : this.#categoryItem(node.category);
  }

  #shown(categories: readonly Category[]): TopicTreeNode[] {
    return this.#inOrder(categories)
      .filter((category) => this.#count(category) > 0)
      .map((category): TopicTreeNode => ({ kind: 'category', category }));
  }

  #topicsIn(category: Category): readonly Topic[] {
    const topics = this.#inOrder(this.#library.topicsOf(category));
    const filter = this.#filter;
    return filter ? topics.filter((topic) => filter.topics.has(topic.id)) : topics;
  }

  #inOrder<T extends Category | Topic>(items: readonly T[]): readonly T[] {
    const language = this.#language();
    const byName = (one: T, other: T) => one.title[language].localeCompare(other.title[language], language);
    return this.#order === 'name' ? [...items].sort(byName) : items;
  }

  #count(category: Category): number {
    const below = this.#library.subcategoriesOf(category).reduce((sum, child) => sum + this.#count(child), 0);
    return below + this.#topicsIn(category).length;
  }

  #categoryItem(category: Category): vscode.TreeItem {
    const title = category.title[this.#language()];
    const count = this.#count(category);
    const expanded = this.#filter !== undefined;
    const item = new vscode.TreeItem(
      title,
      expanded ? vscode.TreeItemCollapsibleState.Expanded : vscode.TreeItemCollapsibleState.Collapsed,
    );
    // While a filter is on, other ids keep the user's own expansion apart from the forced one.
    item.id = `${expanded ? 'filtered:' : ''}category:${category.id}`;
    item.description = String(count);
    item.contextValue = 'category';
    const spoken = count === 1 ? vscode.l10n.t('{0}, 1 topic', title) : vscode.l10n.t('{0}, {1} topics', title, count);
    item.tooltip = spoken;
    item.accessibilityInformation = { label: spoken };
    return item;
  }

  #topicItem(topic: Topic): vscode.TreeItem {
    const id = `${this.#filter ? 'filtered:' : ''}topic:${topic.id}`;
    return topicItem(topic, this.#language(), this.#markOf(topic.id), id);
  }
}
