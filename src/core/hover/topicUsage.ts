import type { NoteLibrary } from '../library/noteLibrary';
import type { SymbolTable } from '../library/symbolTable';
import type { Topic } from '../library/topic';
import type { Meaning } from '../python/meaning';
import { topicNamed } from './topicNamed';

/** A topic that a text uses, and where. */
export interface TopicUsage {
  readonly topic: Topic;
  /** Offsets of the names, in order. */
  readonly places: readonly { readonly from: number; readonly to: number }[];
}

/** Gathers the topics of a text in the order in which they first appear. Modules that only lead to a name do not count. */
export class UsageCollector {
  readonly #table: SymbolTable;
  readonly #library: NoteLibrary;
  readonly #places = new Map<Topic, { readonly from: number; readonly to: number }[]>();

  constructor(table: SymbolTable, library: NoteLibrary) {
    this.#table = table;
    this.#library = library;
  }

  add(meaning: Meaning): void {
    const topic = this.#topicOf(meaning);
    if (!topic) {
      return;
    }
    const places = this.#places.get(topic) ?? [];
    this.#places.set(topic, places);
    places.push({ from: meaning.from, to: meaning.to });
  }

  result(): readonly TopicUsage[] {
    return [...this.#places].map(([topic, places]) => ({ topic, places }));
  }

  #topicOf(meaning: Meaning): Topic | undefined {
    switch (meaning.kind) {
      case 'symbol': {
        const id = this.#table.card(meaning.symbol)?.topic;
        return id === undefined ? this.#library.topicOfSymbol(meaning.symbol) : this.#library.topic(id);
      }
      case 'ownName':
        return topicNamed(meaning.name, this.#library);
      case 'argument':
        return undefined;
    }
  }
}
