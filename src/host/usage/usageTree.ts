import * as vscode from 'vscode';
import { commands } from '../../contributions';
import type { Language } from '../../core/library/language';
import type { Topic } from '../../core/library/topic';

/** One place in a document where a topic is used. */
export interface UsagePlace {
  readonly document: vscode.TextDocument;
  readonly range: vscode.Range;
}

export type UsageNode =
  | { readonly kind: 'topic'; readonly topic: Topic; readonly places: readonly UsagePlace[] }
  | { readonly kind: 'place'; readonly topic: Topic; readonly place: UsagePlace; readonly index: number };

/** The topics of a file in order of appearance, each with its places. */
export class UsageTree implements vscode.TreeDataProvider<UsageNode> {
  readonly #language: () => Language;
  readonly #changed = new vscode.EventEmitter<undefined>();
  readonly onDidChangeTreeData = this.#changed.event;
  #nodes: (UsageNode & { readonly kind: 'topic' })[] = [];

  constructor(language: () => Language) {
    this.#language = language;
  }

  show(nodes: readonly (UsageNode & { readonly kind: 'topic' })[]): void {
    this.#nodes = [...nodes];
    this.#changed.fire(undefined);
  }

  getChildren(node?: UsageNode): UsageNode[] {
    if (!node) {
      return this.#nodes;
    }
    return node.kind === 'topic'
      ? node.places.map((place, index) => ({ kind: 'place', topic: node.topic, place, index }))
      : [];
  }

  getTreeItem(node: UsageNode): vscode.TreeItem {
    return node.kind === 'topic' ? this.#topicItem(node.topic, node.places.length) : this.#placeItem(node);
  }

  #topicItem(topic: Topic, count: number): vscode.TreeItem {
    const title = topic.title[this.#language()];
    const item = new vscode.TreeItem(title, vscode.TreeItemCollapsibleState.Collapsed);
    const spoken = vscode.l10n.t('{0}, uses in this file: {1}', title, count);
    item.id = `usage:${topic.id}`;
    item.description = `×${count}`;
    item.tooltip = topic.summary ? `${spoken}\n\n${topic.summary[this.#language()]}` : spoken;
    item.contextValue = 'topic';
    item.accessibilityInformation = { label: spoken };
    item.command = { command: commands.openTopic, title: vscode.l10n.t('Open Topic'), arguments: [topic.id] };
    return item;
  }

  #placeItem({ topic, place, index }: UsageNode & { readonly kind: 'place' }): vscode.TreeItem {
    const line = place.document.lineAt(place.range.start.line);
    const item = new vscode.TreeItem(line.text.trim());
    item.id = `usage:${topic.id}:${index}`;
    item.iconPath = new vscode.ThemeIcon('symbol-reference');
    item.description = vscode.l10n.t('line {0}', line.lineNumber + 1);
    item.command = {
      command: 'vscode.open',
      title: vscode.l10n.t('Show in the Editor'),
      arguments: [place.document.uri, { selection: place.range, preserveFocus: false }],
    };
    return item;
  }
}
