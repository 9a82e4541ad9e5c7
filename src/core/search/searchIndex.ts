import type { NoteLibrary } from '../library/noteLibrary';
import type { Topic } from '../library/topic';
import { normalized, squeezed } from './normalize';

/** Where a key comes from; earlier kinds win between equally good matches. */
export const keyKinds = ['title', 'alias', 'symbol', 'pinyin', 'summary'] as const;

export type KeyKind = (typeof keyKinds)[number];

/** A text under which a topic can be found. */
export interface SearchKey {
  readonly kind: KeyKind;
  /** As a person reads it; shown as the reason of a match. */
  readonly shown: string;
  readonly text: string;
  readonly squeezed: string;
}

export interface SearchEntry {
  readonly topic: Topic;
  readonly keys: readonly SearchKey[];
}

/** What `dist/search.json` holds: the readings of Chinese names by topic, made at build time so that no dictionary ships. */
export interface SearchFile {
  readonly pinyin: Readonly<Record<string, readonly string[]>>;
}

/** The keys of every topic. */
export function searchEntries(library: NoteLibrary, file: SearchFile): readonly SearchEntry[] {
  return library.topics.map((topic) => ({ topic, keys: keysOf(topic, file.pinyin[topic.id] ?? []) }));
}

function keysOf(topic: Topic, pinyin: readonly string[]): readonly SearchKey[] {
  return [
    key('title', topic.title.en),
    key('title', topic.title['zh-cn']),
    ...topic.aliases.map((alias) => key('alias', alias)),
    ...topic.symbols.flatMap((symbol) => spellings(symbol).map((spelling) => key('symbol', symbol, spelling))),
    ...pinyin.map((reading) => key('pinyin', reading)),
    ...(topic.summary ? [key('summary', topic.summary.en), key('summary', topic.summary['zh-cn'])] : []),
  ];
}

function key(kind: KeyKind, shown: string, spelling = shown): SearchKey {
  const text = normalized(spelling);
  return { kind, shown, text, squeezed: squeezed(text) };
}

/** How people write a symbol: in full, from `nn` or `F` on, and by its name alone. */
function spellings(symbol: string): readonly string[] {
  const parts = symbol.split('.');
  const tails = [symbol, parts.slice(-2).join('.'), parts.at(-1) ?? symbol];
  if (symbol.startsWith('torch.nn.functional.')) {
    tails.push(`F.${parts.at(-1)}`);
  }
  return [...new Set(tails)];
}
