import Fuse from 'fuse.js';
import type { Topic } from '../library/topic';
import { coverage } from './coverage';
import { type Query, readQuery } from './query';
import { type KeyKind, keyKinds, type SearchEntry, type SearchKey } from './searchIndex';
import { SimilarTexts } from './similarTexts';
import { inSlices, type Pause } from './slices';
import { Spelling, slipsBetween } from './spelling';
import { TopicIndex } from './topicIndex';

/** A topic that was found, and the text that it was found by. */
export interface SearchResult {
  readonly topic: Topic;
  readonly reason: SearchKey;
  /** Whether the text is a name of the topic, and not only like one. */
  readonly isExact: boolean;
}

interface Hit {
  readonly topic: number;
  readonly key: number;
  readonly score: number;
}

/** What a hit is worth at best, before the kind of its key counts. */
const scores = {
  /** The query is a name: above all that follows. */
  name: 2,
  /** It begins a name; the more of it, the better. */
  beginning: (share: number) => 0.72 + 0.38 * share,
  /** As many names of the topic begin so. */
  moreNames: (count: number) => 0.04 * Math.log2(Math.max(1, count)),
  /** It is a name but for one slip, while it begins others: `logist` for logits. */
  oneSlip: 0.87,
  /** It is like a name; less so where each of its words is known, and so need not be a slip. */
  likeness: 0.85,
  likenessOfKnown: 0.7,
} as const;

/** Only a name reaches this, and only of a kind that says which topic is meant. */
const exact = 1.2;
/** From here on a hit is no mistake, and fuse.js is not asked. */
const sure = 0.8;
/** Less is no hit: a common word among many. */
const least = 0.15;

/** fuse.js looks at all names while there are no more than this; of more, at some that resemble the query. */
const namesForFuse = 15_000;
const candidatesForFuse = 400;
/** What is longer has enough words of its own. */
const longestForFuse = 20;

/** Kinds of which a topic has more when it is more about something; symbols and words there are many of anyway. */
const ownNames: ReadonlySet<KeyKind> = new Set(['title', 'alias', 'part', 'pinyin', 'lastWord']);

const fuseOptions = { threshold: 0.35, ignoreLocation: true, includeScore: true };

/**
 * Finds topics by English, Chinese, pinyin, abbreviations and Python names, with typing errors. Three ways from cheap to
 * dear, each topic by the best of them: by a name or its beginning, by words, by likeness.
 */
export class TopicSearch {
  readonly #index: TopicIndex;
  readonly #spelling = new Spelling();
  readonly #fuse = new Fuse<string>([], fuseOptions);
  #similar: SimilarTexts | undefined;

  private constructor(index: TopicIndex) {
    this.#index = index;
  }

  /** Builds the index in slices, so that the extension host stays free. */
  static async build(entries: Iterable<SearchEntry>, pause?: Pause): Promise<TopicSearch> {
    const search = new TopicSearch(await TopicIndex.build(entries, pause));
    await search.#prepareFuse(pause);
    return search;
  }

  /** The topics that fit, best first. */
  find(typed: string, limit = 50): readonly SearchResult[] {
    const query = readQuery(typed, (name) => this.#index.names.has(name));
    if (!query) {
      return [];
    }
    const cheap = bestOfTopics([...this.#byName(query), ...this.#byWords(query)]);
    const isSure = cheap.some((hit) => hit.score >= sure);
    const hits = isSure ? cheap : bestOfTopics([...cheap, ...this.#byLikeness(query)]);
    return hits.slice(0, limit).flatMap((hit) => this.#result(hit));
  }

  #result({ topic, key, score }: Hit): readonly SearchResult[] {
    const [found, reason] = [this.#index.topics[topic], this.#index.keys[key]];
    return found && reason ? [{ topic: found, reason, isExact: score >= exact }] : [];
  }

  #byName({ names }: Query): readonly Hit[] {
    return names.flatMap(({ text, weight }) => [
      ...this.#hits(text, scores.name * weight),
      ...this.#beginningWith(text, weight),
      ...this.#oneSlipFrom(text).flatMap((name) => this.#hits(name, weight * scores.oneSlip)),
    ]);
  }

  /** Of topics with a name that begins so, one with more such names is more likely meant. */
  #beginningWith(text: string, weight: number): readonly Hit[] {
    const hits = this.#index.names
      .startingWith(text)
      .flatMap((name) => this.#hits(name, weight * scores.beginning(text.length / name.length)));
    const counts = new Map<number, number>();
    for (const { topic, key } of hits) {
      const isName = ownNames.has(this.#index.keys[key]?.kind ?? 'category');
      counts.set(topic, (counts.get(topic) ?? 0) + (isName ? 1 : 0));
    }
    return hits.map((hit) => ({ ...hit, score: hit.score + scores.moreNames(counts.get(hit.topic) ?? 0) }));
  }

  #oneSlipFrom(text: string): readonly string[] {
    const near = text.length < 5 ? [] : this.#spelling.within(text, 1);
    return near.filter(({ slips }) => slips === 1).map(({ word }) => word);
  }

  #byWords({ terms }: Query): readonly Hit[] {
    const matched = terms.map((term) => ({ term, matches: this.#index.words.matches(term) }));
    return coverage(matched, this.#index.table).filter(({ score }) => score > least);
  }

  #byLikeness({ names, terms }: Query): readonly Hit[] {
    const isKnown = terms.every((term) => this.#index.words.knows(term));
    const best = isKnown ? scores.likenessOfKnown : scores.likeness;
    return names
      .filter(({ text }) => text.length > 1 && text.length <= longestForFuse)
      .flatMap(({ text, weight }) =>
        this.#fuseFor(text)
          .search(text, { limit: 100 })
          .flatMap(({ item, score = 1 }) => this.#hits(item, best * weight * likeness(item, text, score))),
      );
  }

  #fuseFor(text: string): Fuse<string> {
    return this.#similar ? new Fuse(this.#similar.to(text, candidatesForFuse), fuseOptions) : this.#fuse;
  }

  #hits(name: string, score: number): readonly Hit[] {
    const { keys, names, table } = this.#index;
    return names.keysOf(name).map((key) => ({
      topic: table.topics[key] ?? 0,
      key,
      score: score * keyKinds[keys[key]?.kind ?? 'category'].name,
    }));
  }

  async #prepareFuse(pause?: Pause): Promise<void> {
    const names = this.#index.wholeNames;
    const isMany = names.size > namesForFuse;
    this.#similar = isMany ? await SimilarTexts.of(names, pause) : undefined;
    const add = (name: string) => {
      this.#spelling.add(name);
      if (!isMany) {
        this.#fuse.add(name);
      }
    };
    await inSlices(names, add, pause);
  }
}

/** The best hit of each topic, best first. */
function bestOfTopics(hits: readonly Hit[]): readonly Hit[] {
  const best = new Map<number, Hit>();
  for (const hit of hits) {
    if (hit.score > (best.get(hit.topic)?.score ?? 0)) {
      best.set(hit.topic, hit);
    }
  }
  return [...best.values()].sort((one, other) => other.score - one.score);
}

/** fuse.js finds the text anywhere in a name; a name that is or begins like it is more likely meant, and the first slips least. */
function likeness(name: string, typed: string, score: number): number {
  const slips = slipsBetween(typed, name) / typed.length;
  const isSameFirst = name[0] === typed[0] ? 1 : 0;
  return 0.5 * (1 - score) + 0.47 * Math.max(0, 1 - 1.5 * slips) + 0.03 * isSameFirst;
}
