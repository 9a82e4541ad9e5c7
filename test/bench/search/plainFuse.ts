import Fuse from 'fuse.js';
import { keyKinds, type SearchEntry } from '../../../src/core/search/searchIndex';

/**
 * fuse.js as its documentation sets it up: what the search is measured against. It gets the names of the topics alone.
 * Ours looks into headings, summaries and references too, which would make fuse.js many times slower and no better.
 */
export class PlainFuse {
  readonly #fuse: Fuse<SearchEntry>;

  constructor(entries: Iterable<SearchEntry>) {
    this.#fuse = new Fuse([...entries], {
      keys: [{ name: 'texts', getFn: (entry) => namesOf(entry) }],
      threshold: 0.35,
      ignoreLocation: true,
    });
  }

  find(query: string, limit = 50): readonly string[] {
    return this.#fuse.search(query, { limit }).map(({ item }) => item.topic.id);
  }
}

function namesOf(entry: SearchEntry): readonly string[] {
  return [...new Set(entry.keys.filter((key) => keyKinds[key.kind].name > 0).map((key) => key.shown))];
}
