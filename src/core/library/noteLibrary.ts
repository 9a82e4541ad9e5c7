import type { Category, Topic } from './topic';

/** What `dist/index.json` holds: everything that the tree and the search need. */
export interface LibraryIndex {
  readonly format: typeof libraryFormat;
  readonly categories: readonly Category[];
  readonly topics: readonly Topic[];
}

/** Raised whenever the shape of the compiled files changes, so that a stale file is told from a damaged one. */
export const libraryFormat = 1;

/**
 * The topics and categories of the field guide, by id. Made from an index that is still being read, it is empty until `ready`: so the
 * extension activates without waiting for a file.
 */
export class NoteLibrary {
  readonly ready: Promise<void>;
  topics: readonly Topic[] = [];
  #topics: ReadonlyMap<string, Topic> = new Map();
  #categories: ReadonlyMap<string, Category> = new Map();
  #topicOfSymbol: ReadonlyMap<string, Topic> = new Map();

  constructor(index: LibraryIndex | Promise<LibraryIndex>) {
    if (index instanceof Promise) {
      this.ready = index.then((read) => this.#fill(read));
    } else {
      this.#fill(index);
      this.ready = Promise.resolve();
    }
  }

  #fill(index: LibraryIndex): void {
    this.topics = index.topics;
    this.#topics = new Map(index.topics.map((topic) => [topic.id, topic]));
    this.#categories = new Map(index.categories.map((category) => [category.id, category]));
    this.#topicOfSymbol = new Map(index.topics.flatMap((topic) => topic.symbols.map((symbol) => [symbol, topic])));
  }

  topic(id: string): Topic | undefined {
    return this.#topics.get(id);
  }

  category(id: string): Category | undefined {
    return this.#categories.get(id);
  }

  /** The categories of the first level, in the order of the guide. */
  rootCategories(): readonly Category[] {
    return [...this.#categories.values()].filter((category) => category.parent === undefined);
  }

  subcategoriesOf(category: Category): readonly Category[] {
    return category.categories.flatMap((id) => this.#categories.get(id) ?? []);
  }

  topicsOf(category: Category): readonly Topic[] {
    return category.topics.flatMap((id) => this.#topics.get(id) ?? []);
  }

  /** How many topics a category holds, those of its subcategories included. */
  topicCount(category: Category): number {
    return this.subcategoriesOf(category).reduce((sum, child) => sum + this.topicCount(child), category.topics.length);
  }

  /** The category and subcategory above a topic, outermost first. */
  pathOf(topic: Topic): readonly Category[] {
    const path: Category[] = [];
    for (let id: string | undefined = topic.category; id !== undefined; ) {
      const category = this.#categories.get(id);
      if (!category) {
        break;
      }
      path.unshift(category);
      id = category.parent;
    }
    return path;
  }

  topicOfSymbol(symbol: string): Topic | undefined {
    return this.#topicOfSymbol.get(symbol);
  }

  /** The topics before and after this one in its subcategory. */
  neighboursOf(topic: Topic): { readonly previous?: Topic | undefined; readonly next?: Topic | undefined } {
    const siblings = this.#categories.get(topic.category)?.topics ?? [];
    const at = siblings.indexOf(topic.id);
    return { previous: this.topic(siblings[at - 1] ?? ''), next: this.topic(siblings[at + 1] ?? '') };
  }
}

/** Reads the compiled index; throws when it is not one, so that the host can say so once. */
export function parseLibraryIndex(text: string): LibraryIndex {
  const value: unknown = JSON.parse(text);
  if (!isLibraryIndex(value)) {
    throw new Error(`not a library index of format ${libraryFormat}`);
  }
  return value;
}

function isLibraryIndex(value: unknown): value is LibraryIndex {
  const index = value as Partial<LibraryIndex> | null;
  return (
    typeof index === 'object' &&
    index !== null &&
    index.format === libraryFormat &&
    Array.isArray(index.categories) &&
    Array.isArray(index.topics)
  );
}
