import * as vscode from 'vscode';
import { stateKeys } from '../../contributions';
import type { TopicMark } from '../../protocol/articleMessages';

type MarkKind = keyof TopicMark;

const keys: Readonly<Record<MarkKind, string>> = { saved: stateKeys.savedTopics, read: stateKeys.readTopics };

/** Which topics the reader saved or has read; VS Code keeps them and takes them to other machines. */
export class TopicMarks {
  readonly #state: vscode.Memento;
  readonly #changed = new vscode.EventEmitter<string>();
  /** Tells the topic whose mark changed. */
  readonly onDidChange = this.#changed.event;

  constructor(state: vscode.Memento & { setKeysForSync(keys: readonly string[]): void }) {
    this.#state = state;
    state.setKeysForSync(Object.values(stateKeys));
  }

  of(topic: string): TopicMark {
    return { saved: this.#topics('saved').includes(topic), read: this.#topics('read').includes(topic) };
  }

  /** The saved topics, the one saved last first. */
  get saved(): readonly string[] {
    return this.#topics('saved');
  }

  async set(topic: string, kind: MarkKind, value: boolean): Promise<void> {
    const others = this.#topics(kind).filter((id) => id !== topic);
    await this.#state.update(keys[kind], value ? [topic, ...others] : others);
    this.#changed.fire(topic);
  }

  async toggle(topic: string, kind: MarkKind): Promise<void> {
    await this.set(topic, kind, !this.of(topic)[kind]);
  }

  /** A damaged state counts as an empty one. */
  #topics(kind: MarkKind): readonly string[] {
    const kept: unknown = this.#state.get(keys[kind]);
    return Array.isArray(kept) ? kept.filter((id) => typeof id === 'string') : [];
  }

  dispose(): void {
    this.#changed.dispose();
  }
}
