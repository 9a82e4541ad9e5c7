import type { Localized } from './language';

export const topicTypes = [
  'op',
  'loss',
  'optimizer',
  'schedule',
  'metric',
  'model',
  'concept',
  'practice',
  'language',
] as const;

export type TopicType = (typeof topicTypes)[number];

/** One concept of the field guide: the unit of the tree, of search and of links. */
export interface Topic {
  /** Kebab-case English slug; the same in every language and for ever. */
  readonly id: string;
  readonly type: TopicType;
  /** Id of the subcategory that holds the topic. */
  readonly category: string;
  readonly title: Localized;
  readonly summary?: Localized | undefined;
  readonly aliases: readonly string[];
  /** Qualified Python names that belong to the topic. */
  readonly symbols: readonly string[];
  readonly related: readonly string[];
  readonly prerequisites: readonly string[];
  /** Whether both articles are written; a topic without them still opens with its summary and references. */
  readonly hasArticle: boolean;
  readonly referenceCount: number;
}

/** A node of the two-level hierarchy: a category holds subcategories, a subcategory holds topics. */
export interface Category {
  readonly id: string;
  readonly title: Localized;
  readonly parent?: string | undefined;
  readonly categories: readonly string[];
  readonly topics: readonly string[];
}

/** A link from a topic to further reading. */
export interface Reference {
  readonly title: string;
  /** The page's own title where the collection gave another. */
  readonly pageTitle?: string | undefined;
  readonly alsoTitled?: readonly string[] | undefined;
  readonly url: string;
  readonly language: 'en' | 'zh-cn';
  readonly remark?: string | undefined;
}

/** A primary source. */
export interface Paper {
  readonly title: string;
  readonly authors: string;
  readonly year: number;
  readonly url: string;
}

/** What a topic's article needs beyond its text; read when the first article opens. */
export interface TopicSources {
  readonly references: readonly Reference[];
  readonly papers: readonly Paper[];
  readonly figures: readonly {
    readonly file: string;
    readonly labels?: Readonly<Record<string, string>> | undefined;
  }[];
}
