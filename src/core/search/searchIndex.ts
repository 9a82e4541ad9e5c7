import type { NoteLibrary } from '../library/noteLibrary';
import type { Topic } from '../library/topic';
import { normalized, squeezed } from './normalize';

/**
 * Where a key comes from, and how much a match in it counts. The first kinds are names, under which a topic is looked
 * up as a whole; the others are texts, in which only words are looked up.
 */
export const keyKinds = {
  title: { isName: true, weight: 1 },
  alias: { isName: true, weight: 0.97 },
  symbol: { isName: true, weight: 0.9 },
  words: { isName: true, weight: 0.85 },
  initials: { isName: true, weight: 0.8 },
  pinyin: { isName: true, weight: 0.8 },
  heading: { isName: false, weight: 0.7 },
  summary: { isName: false, weight: 0.65 },
  reference: { isName: false, weight: 0.55 },
  category: { isName: false, weight: 0.45 },
} as const;

export type KeyKind = keyof typeof keyKinds;

/** A text under which a topic can be found. */
export interface SearchKey {
  readonly kind: KeyKind;
  /** As a person reads it; shown as the reason of a match. */
  readonly shown: string;
  /** The ways of writing it as a name, without spaces; none where it is no name. */
  readonly spellings: readonly string[];
}

export interface SearchEntry {
  readonly topic: Topic;
  readonly keys: readonly SearchKey[];
}

/** What `dist/search.json` holds by topic, made at build time: what the index of topics does not say itself. */
export interface SearchFile {
  readonly topics: Readonly<Record<string, TopicSearchData>>;
}

export interface TopicSearchData {
  /** Readings of the Chinese names, so that no dictionary ships. */
  readonly pinyin: readonly string[];
  /** Symbols whose cards lead to the topic, beyond those that the topic lists. */
  readonly symbols: readonly string[];
  /** What people type for the topic that is no name of it. */
  readonly words: readonly string[];
  /** Headings of the articles below the sections: traps and questions. */
  readonly headings: readonly string[];
  /** Titles of references and papers. */
  readonly references: readonly string[];
}

/** The keys of every topic. */
export function searchEntries(library: NoteLibrary, file: SearchFile): readonly SearchEntry[] {
  return library.topics.map((topic) => ({
    topic,
    keys: [...keysOfTopic(topic), ...keysOfData(file.topics[topic.id]), ...keysOfCategories(library, topic)],
  }));
}

function keysOfTopic(topic: Topic): readonly SearchKey[] {
  const names = [topic.title.en, topic.title['zh-cn'], ...topic.aliases];
  return [
    name('title', topic.title.en),
    name('title', topic.title['zh-cn']),
    ...topic.aliases.map((alias) => name('alias', alias)),
    ...names.flatMap((each) => initialsKey(each) ?? []),
    ...topic.symbols.map(symbolKey),
    ...(topic.summary ? [text('summary', topic.summary.en), text('summary', topic.summary['zh-cn'])] : []),
  ];
}

function keysOfData(data: TopicSearchData | undefined): readonly SearchKey[] {
  return data === undefined
    ? []
    : [
        ...data.pinyin.map((reading) => name('pinyin', reading)),
        ...data.symbols.map(symbolKey),
        ...data.words.map((words) => name('words', words)),
        ...data.headings.map((heading) => text('heading', heading)),
        ...data.references.map((title) => text('reference', title)),
      ];
}

function keysOfCategories(library: NoteLibrary, topic: Topic): readonly SearchKey[] {
  return library.pathOf(topic).flatMap(({ title }) => [text('category', title.en), text('category', title['zh-cn'])]);
}

function name(kind: KeyKind, shown: string): SearchKey {
  return { kind, shown, spellings: [squeezed(normalized(shown))] };
}

function text(kind: KeyKind, shown: string): SearchKey {
  return { kind, shown, spellings: [] };
}

/** `CE` for cross entropy: the abbreviation that people make up themselves. */
function initialsKey(shown: string): SearchKey | undefined {
  const words = normalized(shown).split(' ').filter((word) => !['and', 'of', 'the', 'in', 'for'].includes(word));
  const usable = words.length > 1 && words.length < 6 && words.every((word) => /^[a-z]/.test(word));
  return usable ? { kind: 'initials', shown, spellings: [words.map((word) => word[0]).join('')] } : undefined;
}

/** People write a symbol in full, from any of its modules on, and after `F`. */
function symbolKey(symbol: string): SearchKey {
  const parts = symbol.split('.');
  const tails = parts.map((_, at) => parts.slice(at).join('.'));
  const short = symbol.startsWith('torch.nn.functional.') ? [`F.${parts.at(-1)}`] : [];
  return { kind: 'symbol', shown: symbol, spellings: [...tails, ...short].map((tail) => squeezed(normalized(tail))) };
}
