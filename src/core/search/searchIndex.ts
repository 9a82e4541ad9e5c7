import type { NoteLibrary } from '../library/noteLibrary';
import type { Topic } from '../library/topic';
import { normalized, squeezed } from './normalize';

/**
 * Where a key comes from. `name` is how much it counts that a query is the key or begins it; keys without it are texts, in
 * which only words are looked up. `words` is how much the words of the key count.
 */
export const keyKinds = {
  title: { name: 1, words: 1 },
  alias: { name: 0.97, words: 0.97 },
  titles: { name: 0, words: 0.97 },
  symbol: { name: 0.9, words: 0.9 },
  cardSymbol: { name: 0.82, words: 0.84 },
  typed: { name: 0.83, words: 0.85 },
  part: { name: 0.8, words: 0.82 },
  initials: { name: 0.8, words: 0 },
  pinyin: { name: 0.8, words: 0.8 },
  argument: { name: 0.45, words: 0.75 },
  lastWord: { name: 0.45, words: 0 },
  heading: { name: 0, words: 0.7 },
  summary: { name: 0, words: 0.65 },
  reference: { name: 0, words: 0.55 },
  category: { name: 0, words: 0.45 },
} as const satisfies Readonly<Record<string, { readonly name: number; readonly words: number }>>;

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
  /** Arguments that few topics share. */
  readonly arguments: readonly string[];
  /** What people type for the topic that is no name of it. */
  readonly words: readonly string[];
  /** Headings of the articles below the sections: traps and questions. */
  readonly headings: readonly string[];
  /** Titles of references and papers. */
  readonly references: readonly string[];
}

/** The keys of every topic, made one topic at a time. */
export function* searchEntries(library: NoteLibrary, file: SearchFile): Generator<SearchEntry> {
  for (const topic of library.topics) {
    const keys = [...keysOfTopic(topic), ...keysOfData(file.topics[topic.id]), ...keysOfCategories(library, topic)];
    yield { topic, keys };
  }
}

function keysOfTopic(topic: Topic): readonly SearchKey[] {
  const names = [topic.title.en, topic.title['zh-cn'], ...topic.aliases];
  return [
    name('title', topic.title.en),
    name('title', topic.title['zh-cn']),
    text('titles', `${topic.title.en} ${topic.title['zh-cn']}`),
    ...topic.aliases.map((alias) => name('alias', alias)),
    ...[...partsOf(topic.title.en), ...partsOf(topic.title['zh-cn'])].map((part) => name('part', part)),
    ...names.flatMap((each) => initialsKey(each) ?? []),
    ...topic.symbols.flatMap((symbol) => symbolKeys(symbol, 'symbol')),
    ...(topic.summary ? [text('summary', topic.summary.en), text('summary', topic.summary['zh-cn'])] : []),
  ];
}

function keysOfData(data: TopicSearchData | undefined): readonly SearchKey[] {
  return data === undefined
    ? []
    : [
        ...data.pinyin.map((reading) => name('pinyin', reading)),
        ...data.symbols.flatMap((symbol) => symbolKeys(symbol, 'cardSymbol')),
        ...data.arguments.map((argument) => name('argument', argument)),
        ...data.words.map((words) => name('typed', words)),
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
  const words = normalized(shown)
    .split(' ')
    .filter((word) => !['and', 'of', 'the', 'in', 'for'].includes(word));
  const usable = words.length > 1 && words.length < 6 && words.every((word) => /^[a-z]/.test(word));
  return usable ? { kind: 'initials', shown, spellings: [words.map((word) => word[0]).join('')] } : undefined;
}

/** A title may join several names: `Gradient descent, SGD and momentum`. */
function partsOf(title: string): readonly string[] {
  const parts = title.split(/,? and |, |: | \/ | versus |与|、|：|（|）| \(|\)/).map((part) => part.trim());
  return parts.length > 1 ? parts.filter((part) => part.length > 1) : [];
}

/**
 * People write a symbol in full, from any of its modules on, and after `F`. Its last part alone is a key of its own where
 * that is a plain word, which may mean anything: `Pool`, `load`.
 */
function symbolKeys(symbol: string, kind: 'symbol' | 'cardSymbol'): readonly SearchKey[] {
  const parts = symbol.split('.');
  const last = parts.at(-1) ?? symbol;
  const tails = parts.map((_, at) => parts.slice(at).join('.'));
  const short = symbol.startsWith('torch.nn.functional.') ? [`F.${last}`] : [];
  const isWord = /^[A-Za-z][a-z]*$/.test(last);
  const spellings = [...(isWord ? tails.slice(0, -1) : tails), ...short].map((tail) => squeezed(normalized(tail)));
  return [
    { kind, shown: symbol, spellings },
    ...(isWord ? [{ kind: 'lastWord', shown: symbol, spellings: [last.toLowerCase()] } as const] : []),
  ];
}
