import { lazy } from '../../core/lazy';
import type { NoteLibrary } from '../../core/library/noteLibrary';
import type { SearchResult } from '../../core/search/topicSearch';
import type { NoteFiles } from '../noteFiles';

/** The search over all topics; fuse.js and the index are made on first use. */
export class TopicFinder {
  readonly #search: () => Promise<{ readonly find: (query: string) => readonly SearchResult[] }>;

  constructor(library: NoteLibrary, files: NoteFiles) {
    this.#search = lazy(async () => {
      await library.ready;
      const [{ createTopicSearch }, file] = await Promise.all([import('../../core/search/search'), files.search()]);
      return createTopicSearch(library, file);
    });
  }

  async find(query: string): Promise<readonly SearchResult[]> {
    return (await this.#search()).find(query);
  }
}
