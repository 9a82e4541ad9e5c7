import { NoteLibrary } from '../../../src/core/library/noteLibrary';
import type { Topic } from '../../../src/core/library/topic';
import { createTopicSearch } from '../../../src/core/search/search';
import type { SearchFile, TopicSearchData } from '../../../src/core/search/searchIndex';

type Names = Partial<TopicSearchData> &
  Partial<Pick<Topic, 'aliases' | 'title'>> & { readonly symbols?: readonly string[] };

/** Topics by id with what a test says of them; the rest is empty. */
export function libraryOf(topics: Readonly<Record<string, Names>>): NoteLibrary {
  return new NoteLibrary({
    format: 1,
    categories: [],
    topics: Object.entries(topics).map(([id, { title, aliases, symbols }]) => ({
      id,
      type: 'concept',
      category: 'none',
      title: title ?? { en: id, 'zh-cn': id },
      aliases: aliases ?? [],
      symbols: symbols ?? [],
      related: [],
      prerequisites: [],
      hasArticle: false,
      referenceCount: 0,
    })),
  });
}

/** Ids in the order in which the search over these topics gives them. */
export async function searchOver(
  topics: Readonly<Record<string, Names>>,
): Promise<(query: string) => readonly string[]> {
  const file: SearchFile = {
    topics: Object.fromEntries(
      Object.entries(topics).map(([id, { pinyin, words, headings, references, arguments: named }]) => [
        id,
        {
          pinyin: pinyin ?? [],
          symbols: [],
          arguments: named ?? [],
          words: words ?? [],
          headings: headings ?? [],
          references: references ?? [],
        },
      ]),
    ),
  };
  const search = await createTopicSearch(libraryOf(topics), file);
  return (query) => search.find(query).map(({ topic }) => topic.id);
}
