import * as vscode from 'vscode';
import { commands } from '../../contributions';
import type { Language } from '../../core/library/language';
import type { Topic, TopicType } from '../../core/library/topic';
import type { TopicMark } from '../../protocol/articleMessages';

/** One icon for each type of topic, so that a loss is told from a layer at a glance. */
const icons: Readonly<Record<TopicType, string>> = {
  op: 'symbol-operator',
  loss: 'graph-line',
  optimizer: 'arrow-down',
  schedule: 'pulse',
  metric: 'dashboard',
  model: 'layers',
  concept: 'lightbulb',
  practice: 'tools',
  language: 'code',
};

/** The colour of topics that have no article yet. */
const quiet = new vscode.ThemeColor('disabledForeground');

/** The row of a topic in a tree: icon of its type, the reader's marks, a tooltip with its summary. */
export function topicItem(topic: Topic, language: Language, mark: TopicMark, id: string): vscode.TreeItem {
  const title = topic.title[language];
  const item = new vscode.TreeItem(title, vscode.TreeItemCollapsibleState.None);
  const marks = [
    ...(mark.saved ? [{ sign: '★', word: vscode.l10n.t('saved') }] : []),
    ...(mark.read ? [{ sign: '✓', word: vscode.l10n.t('read') }] : []),
  ];
  item.id = id;
  item.contextValue = ['topic', ...(mark.saved ? ['saved'] : []), ...(mark.read ? ['read'] : [])].join(' ');
  item.description = marks.map(({ sign }) => sign).join(' ');
  item.iconPath = new vscode.ThemeIcon(icons[topic.type], topic.hasArticle ? undefined : quiet);
  item.tooltip = tooltip(topic, language);
  item.accessibilityInformation = { label: [title, ...marks.map(({ word }) => word)].join(', ') };
  item.command = { command: commands.openTopic, title: vscode.l10n.t('Open Topic'), arguments: [topic.id] };
  return item;
}

function tooltip(topic: Topic, language: Language): vscode.MarkdownString {
  const other = language === 'en' ? 'zh-cn' : 'en';
  const made = new vscode.MarkdownString(`**${topic.title[language]}** · ${topic.title[other]}`);
  if (topic.summary) {
    made.appendMarkdown(`\n\n${topic.summary[language]}`);
  }
  if (topic.symbols.length > 0) {
    const shown = topic.symbols.slice(0, 4).map((symbol) => `\`${symbol}\``);
    made.appendMarkdown(`\n\n${shown.join(' ')}`);
  }
  made.appendMarkdown(`\n\n${vscode.l10n.t('References: {0}', topic.referenceCount)}`);
  return made;
}
