import type * as vscode from 'vscode';
import { stateKeys } from '../../contributions';
import type { NoteLibrary } from '../../core/library/noteLibrary';
import type { Topic } from '../../core/library/topic';

const remembered = 12;

/** The topics opened last, newest first, kept over sessions. */
export class RecentTopics {
  readonly #state: vscode.Memento;
  readonly #library: NoteLibrary;

  constructor(state: vscode.Memento, library: NoteLibrary) {
    this.#state = state;
    this.#library = library;
  }

  get topics(): readonly Topic[] {
    return this.#ids.flatMap((id) => this.#library.topic(id) ?? []);
  }

  add(id: string): void {
    void this.#state.update(
      stateKeys.recentTopics,
      [id, ...this.#ids.filter((other) => other !== id)].slice(0, remembered),
    );
  }

  /** A damaged state counts as an empty one. */
  get #ids(): readonly string[] {
    const kept: unknown = this.#state.get(stateKeys.recentTopics);
    return Array.isArray(kept) ? kept.filter((id) => typeof id === 'string') : [];
  }
}
