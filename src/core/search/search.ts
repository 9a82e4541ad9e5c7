import type { NoteLibrary } from '../library/noteLibrary';
import { type SearchFile, searchEntries } from './searchIndex';
import type { Pause } from './slices';
import { type TextFile, TextSearch } from './textSearch';
import { TopicSearch } from './topicSearch';

/** The one way into the search; the bundle makes a chunk of it, since it holds fuse.js. */
export function createTopicSearch(library: NoteLibrary, file: SearchFile, pause?: Pause): Promise<TopicSearch> {
  return TopicSearch.build(searchEntries(library, file), pause);
}

export function createTextSearch(library: NoteLibrary, file: TextFile, pause?: Pause): Promise<TextSearch> {
  return TextSearch.build(library, file, pause);
}
