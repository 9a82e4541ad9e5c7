import { readFileSync } from 'node:fs';
import { NoteLibrary, parseLibraryIndex } from '../../src/core/library/noteLibrary';
import { createTopicSearch } from '../../src/core/search/search';
import type { SearchFile } from '../../src/core/search/searchIndex';

/** The topics that the build compiled, what the search knows of them, and the search over them. */
export async function shippedSearch() {
  const index = parseLibraryIndex(readFileSync('dist/index.json', 'utf8'));
  const file: SearchFile = JSON.parse(readFileSync('dist/search.json', 'utf8'));
  const library = new NoteLibrary(index);
  return { index, file, library, search: await createTopicSearch(library, file) };
}
