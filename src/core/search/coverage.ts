import type { Term } from './query';
import type { WordMatch } from './wordIndex';

/** What the scoring has to know of the keys, by their number. */
export interface KeyTable {
  readonly topicCount: number;
  readonly topics: ArrayLike<number>;
  /** How much the words of a key count, by its kind. */
  readonly kindWeights: ArrayLike<number>;
  /** How much the words of a key say together. */
  readonly wordWeights: ArrayLike<number>;
}

export interface MatchedTerm {
  readonly term: Term;
  readonly matches: readonly WordMatch[];
}

export interface CoveredTopic {
  readonly topic: number;
  /** The key that covers most. */
  readonly key: number;
  /** 1 where every word of the query is in one title. */
  readonly score: number;
}

/** A word that few topics have says more. */
export function rarity(topicCount: number, topicsWithWord: number): number {
  return Math.log(1 + topicCount / Math.max(topicsWithWord, 0.5));
}

/** How much of the query's words each topic holds: in its best key, and in all of its keys together. */
export function coverage(terms: readonly MatchedTerm[], table: KeyTable): readonly CoveredTopic[] {
  const ofKeys = new Sums(table.topics.length);
  const ofTopics = new Sums(table.topicCount);
  let total = 0;
  for (const { term, matches } of terms) {
    total += cover(term, matches, table, ofKeys, ofTopics);
  }
  const best = new Sums(table.topicCount);
  const bestKey = new Uint32Array(table.topicCount);
  for (const key of ofKeys.touched) {
    const topic = table.topics[key] ?? 0;
    const covered = ofKeys.at(key);
    // Mostly how much of the query is covered, a little how much of the key.
    const share = 0.7 * (covered / total) + 0.3 * (covered / Math.max(table.wordWeights[key] ?? 0, covered));
    if (best.raise(topic, share * (table.kindWeights[key] ?? 0))) {
      bestKey[topic] = key;
    }
  }
  return best.touched.map((topic) => ({
    topic,
    key: bestKey[topic] ?? 0,
    score: 0.7 * best.at(topic) + (0.3 * ofTopics.at(topic)) / total,
  }));
}

/** Adds what one term covers; returns how much the term says. Words that only resemble it make it less common. */
function cover(term: Term, matches: readonly WordMatch[], table: KeyTable, ofKeys: Sums, ofTopics: Sums): number {
  const fits = new Sums(table.topics.length);
  for (const { keys, fit } of matches) {
    for (const key of keys) {
      fits.raise(key, fit);
    }
  }
  const holders = new Sums(table.topicCount);
  const weighted = new Sums(table.topicCount);
  for (const key of fits.touched) {
    const topic = table.topics[key] ?? 0;
    holders.raise(topic, fits.at(key));
    weighted.raise(topic, fits.at(key) * (table.kindWeights[key] ?? 0));
  }
  const holding = holders.touched.reduce((sum, topic) => sum + holders.at(topic) ** 4, 0);
  const weight = term.weight * rarity(table.topicCount, holding);
  for (const key of fits.touched) {
    ofKeys.add(key, weight * fits.at(key));
  }
  for (const topic of weighted.touched) {
    ofTopics.add(topic, weight * weighted.at(topic));
  }
  return weight;
}

/** Numbers by index of which most stay 0. */
class Sums {
  readonly #values: Float32Array;
  readonly touched: number[] = [];

  constructor(size: number) {
    this.#values = new Float32Array(size);
  }

  at(index: number): number {
    return this.#values[index] ?? 0;
  }

  add(index: number, value: number): void {
    this.#set(index, this.at(index) + value);
  }

  /** Says whether the value was larger than what was there. */
  raise(index: number, value: number): boolean {
    const isLarger = value > this.at(index);
    if (isLarger) {
      this.#set(index, value);
    }
    return isLarger;
  }

  #set(index: number, value: number): void {
    if (this.#values[index] === 0) {
      this.touched.push(index);
    }
    this.#values[index] = value;
  }
}
