import * as vscode from 'vscode';
import { views } from '../../contributions';
import type { NoteLibrary } from '../../core/library/noteLibrary';
import type { Topic } from '../../core/library/topic';
import type { Settings } from '../settings';
import { topicItem } from '../sidebar/topicItem';
import type { TopicMarks } from './topicMarks';

interface SavedNode {
  readonly kind: 'topic';
  readonly topic: Topic;
}

/** The view Saved: the reader's own selection, newest first. */
export class SavedView implements vscode.TreeDataProvider<SavedNode> {
  readonly #library: NoteLibrary;
  readonly #marks: TopicMarks;
  readonly #settings: Settings;
  readonly #changed = new vscode.EventEmitter<undefined>();
  readonly onDidChangeTreeData = this.#changed.event;
  readonly #disposables: vscode.Disposable;

  constructor(library: NoteLibrary, marks: TopicMarks, settings: Settings) {
    this.#library = library;
    this.#marks = marks;
    this.#settings = settings;
    this.#disposables = vscode.Disposable.from(
      vscode.window.createTreeView(views.saved, { treeDataProvider: this }),
      marks.onDidChange(() => this.#changed.fire(undefined)),
      settings.onDidChangeLanguage(() => this.#changed.fire(undefined)),
    );
  }

  async getChildren(node?: SavedNode): Promise<SavedNode[]> {
    await this.#library.ready;
    return node ? [] : this.#marks.saved.flatMap((id) => this.#nodeOf(id));
  }

  #nodeOf(id: string): SavedNode[] {
    const topic = this.#library.topic(id);
    return topic ? [{ kind: 'topic', topic }] : [];
  }

  getTreeItem({ topic }: SavedNode): vscode.TreeItem {
    return topicItem(topic, this.#settings.language, this.#marks.of(topic.id), `saved:${topic.id}`);
  }

  dispose(): void {
    this.#disposables.dispose();
    this.#changed.dispose();
  }
}
