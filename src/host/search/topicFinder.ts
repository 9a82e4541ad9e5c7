import { lazy } from '../../core/lazy';
import type { Language } from '../../core/library/language';
import type { NoteLibrary } from '../../core/library/noteLibrary';
import type { PassageResult, TextSearch } from '../../core/search/textSearch';
import type { SearchResult } from '../../core/search/topicSearch';
import type { NoteFiles } from '../noteFiles';

/** Says that nobody waits for an answer any more, since more was typed meanwhile. */
export type IsStale = () => boolean;

const never: IsStale = () => false;

/** Search over topics and over the articles' text. fuse.js and each index are made on first use. */
export class TopicFinder {
  readonly #library: NoteLibrary;
  readonly #files: NoteFiles;
  readonly #texts = new Map<Language, () => Promise<TextSearch>>();

  constructor(library: NoteLibrary, files: NoteFiles) {
    this.#library = library;
    this.#files = files;
  }

  readonly #topics = lazy(async () => {
    const [{ createTopicSearch }, file] = await Promise.all([loadSearch(), this.#files.search(), this.#library.ready]);
    return createTopicSearch(this.#library, file);
  });

  /** Answers with nothing where the question is stale by the time the index is there: it must not hold up the next one. */
  async find(query: string, isStale = never): Promise<readonly SearchResult[]> {
    const search = await this.#topics();
    return isStale() ? [] : search.find(query);
  }

  async findInText(query: string, language: Language, isStale = never): Promise<readonly PassageResult[]> {
    const search = await this.#textIn(language);
    return isStale() ? [] : search.find(query);
  }

  #textIn(language: Language): Promise<TextSearch> {
    const text =
      this.#texts.get(language) ??
      lazy(async () => {
        const [{ createTextSearch }, file] = await Promise.all([
          loadSearch(),
          this.#files.text(language),
          this.#library.ready,
        ]);
        return createTextSearch(this.#library, file);
      });
    this.#texts.set(language, text);
    return text();
  }
}

function loadSearch() {
  return import('../../core/search/search');
}
