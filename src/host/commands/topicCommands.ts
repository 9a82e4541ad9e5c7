import * as vscode from 'vscode';
import { commands } from '../../contributions';
import { isLanguage } from '../../core/library/language';
import type { NoteLibrary } from '../../core/library/noteLibrary';
import type { ArticleReader, OpenOptions } from '../article/articleReader';
import type { HoverProvider } from '../hover/hoverProvider';
import type { TopicMarks } from '../marks/topicMarks';
import type { RecentTopics } from '../search/recentTopics';
import type { SearchPick } from '../search/searchPick';
import type { Settings } from '../settings';
import type { TopicTreeNode } from '../sidebar/topicTree';
import { topicUri } from '../topicLinks';

export interface CommandParts {
  readonly library: NoteLibrary;
  readonly reader: ArticleReader;
  readonly search: SearchPick;
  readonly hover: HoverProvider;
  readonly settings: Settings;
  readonly marks: TopicMarks;
  readonly recent: RecentTopics;
}

/** The commands about topics; those of a view or a panel are registered where it lives. */
export function registerTopicCommands(parts: CommandParts): vscode.Disposable {
  const { library, reader, search, settings, marks, recent } = parts;
  const mark = (kind: 'saved' | 'read', value: boolean) => async (topic: unknown) => {
    const id = topicId(topic);
    if (id !== undefined) {
      await marks.set(id, kind, value);
    }
  };
  const open = async (topic: unknown, options: OpenOptions) => {
    const id = topicId(topic);
    if (id === undefined) {
      search.show();
    } else {
      await reader.open(id, options);
    }
  };
  return vscode.Disposable.from(
    vscode.commands.registerCommand(commands.searchTopics, (query: unknown) =>
      search.show(typeof query === 'string' ? query : ''),
    ),
    vscode.commands.registerCommand(commands.openTopic, (topic: unknown, options: unknown) =>
      open(topic, openOptions(options)),
    ),
    vscode.commands.registerCommand(commands.openTopicBeside, (topic: unknown) => open(topic, { beside: true })),
    vscode.commands.registerCommand(commands.copyTopicLink, (topic: unknown) => copyLink(topicId(topic))),
    vscode.commands.registerCommand(commands.switchLanguage, () =>
      settings.setLanguage(settings.language === 'en' ? 'zh-cn' : 'en'),
    ),
    vscode.commands.registerCommand(commands.saveTopic, mark('saved', true)),
    vscode.commands.registerCommand(commands.unsaveTopic, mark('saved', false)),
    vscode.commands.registerCommand(commands.markTopicRead, mark('read', true)),
    vscode.commands.registerCommand(commands.markTopicUnread, mark('read', false)),
    vscode.commands.registerCommand(commands.continueReading, async () => {
      await library.ready;
      await open(recent.topics[0]?.id, {});
    }),
    vscode.commands.registerCommand(commands.explainSymbol, () => explain(parts)),
  );
}

/** A topic is named by its id, or by the row of the tree that a menu was opened on. */
function topicId(value: unknown): string | undefined {
  if (typeof value === 'string') {
    return value;
  }
  const node = value as Partial<TopicTreeNode> | undefined;
  return node?.kind === 'topic' ? (node as TopicTreeNode & { kind: 'topic' }).topic.id : undefined;
}

function openOptions(value: unknown): OpenOptions {
  const { heading, language, beside } = (value ?? {}) as Readonly<Record<string, unknown>>;
  return {
    anchor: typeof heading === 'string' ? heading : undefined,
    language: isLanguage(language) ? language : undefined,
    beside: beside === true,
  };
}

async function copyLink(topic: string | undefined): Promise<void> {
  if (topic !== undefined) {
    await vscode.env.clipboard.writeText(topicUri(topic));
  }
}

/** Opens the article on the name at the cursor: hovers for keyboards and screen readers. */
async function explain({ hover, reader, search }: CommandParts): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  if (!editor) {
    return;
  }
  const topic = await hover.topicAt(editor.document, editor.selection.active);
  if (topic !== undefined) {
    await reader.open(topic, { beside: true });
    return;
  }
  const word = editor.document.getWordRangeAtPosition(editor.selection.active);
  search.show(word ? editor.document.getText(word) : '');
}
