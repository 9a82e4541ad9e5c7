import { searchEntries } from '../../../src/core/search/searchIndex';
import { shippedSearch } from '../../search/shippedSearch';
import { PlainFuse } from './plainFuse';
import { typingErrorsOf } from './typingErrors';

export interface Losses {
  readonly errors: number;
  readonly foundByOurs: number;
  readonly foundByFuse: number;
  /** What plain fuse.js has within three rows and ours does not. */
  readonly losses: readonly string[];
}

/** Every name of a topic with typing errors of every kind; shorter ones are abbreviations, of which any slip is another. */
export async function countLosses(shortest = 5): Promise<Losses> {
  const { library, file, search } = await shippedSearch();
  const fuse = new PlainFuse(searchEntries(library, file));
  let [errors, foundByOurs, foundByFuse] = [0, 0, 0];
  const losses: string[] = [];
  for (const { id, title, aliases } of library.topics) {
    const names = [...new Set([title.en, title['zh-cn'], ...aliases])].filter((name) => lettersIn(name) >= shortest);
    for (const error of names.flatMap(typingErrorsOf)) {
      const isOurs = search.find(error, 3).some(({ topic }) => topic.id === id);
      const isFuses = fuse.find(error, 3).includes(id);
      errors += 1;
      foundByOurs += Number(isOurs);
      foundByFuse += Number(isFuses);
      if (isFuses && !isOurs) {
        losses.push(`${error} for ${id}`);
      }
    }
  }
  return { errors, foundByOurs, foundByFuse, losses };
}

function lettersIn(name: string): number {
  return name.match(/[\p{L}\p{N}]/gu)?.length ?? 0;
}
