import type { NoteLibrary } from '../library/noteLibrary';
import { type SearchFile, searchEntries } from './searchIndex';
import { TopicSearch } from './topicSearch';

/** The one way into the search; the bundle makes a chunk of it, since it holds fuse.js. */
export function createTopicSearch(library: NoteLibrary, file: SearchFile): TopicSearch {
  return new TopicSearch(searchEntries(library, file));
}
