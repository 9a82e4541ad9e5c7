import type { Topic } from '../library/topic';
import { type KeyTable, rarity } from './coverage';
import { Postings } from './postings';
import { type KeyKind, keyKinds, type SearchEntry, type SearchKey } from './searchIndex';
import { inSlices, type Pause } from './slices';
import { WordIndex } from './wordIndex';
import { wordsOf } from './words';

/** Kinds of names that may be mistyped as a whole; a mistyped symbol or reading is found by the spelling of its words. */
const wholeKinds: ReadonlySet<KeyKind> = new Set(['title', 'alias', 'part', 'typed']);

/** The keys of all topics by number, and where each name and each word leads. */
export class TopicIndex {
  readonly topics: Topic[] = [];
  readonly keys: SearchKey[] = [];
  readonly names = new Postings();
  readonly words = new WordIndex();
  readonly wholeNames = new Set<string>();
  readonly #topicOfKey: number[] = [];
  #table: KeyTable = { topicCount: 0, topics: [], kindWeights: [], wordWeights: [] };

  private constructor() {}

  static async build(entries: Iterable<SearchEntry>, pause?: Pause): Promise<TopicIndex> {
    const index = new TopicIndex();
    await inSlices(entries, (entry) => index.#add(entry), pause);
    await index.names.sort(pause);
    await index.words.arrange(pause);
    await index.#weigh(pause);
    return index;
  }

  get table(): KeyTable {
    return this.#table;
  }

  #add({ topic, keys }: SearchEntry): void {
    const at = this.topics.push(topic) - 1;
    for (const key of keys) {
      const number = this.keys.push(key) - 1;
      this.#topicOfKey.push(at);
      for (const spelling of key.spellings) {
        this.names.add(spelling, number);
        if (wholeKinds.has(key.kind)) {
          this.wholeNames.add(spelling);
        }
      }
      if (keyKinds[key.kind].words > 0) {
        for (const word of wordsOf(key.shown)) {
          this.words.postings.add(word, number);
        }
      }
    }
  }

  /** How much the words of each key say together, once it is known how rare each word is. */
  async #weigh(pause?: Pause): Promise<void> {
    const topicCount = this.topics.length;
    const wordWeights = new Float32Array(this.keys.length);
    const weigh = (word: string) => {
      const keys = this.words.postings.keysOf(word);
      const weight = rarity(topicCount, new Set(keys.map((key) => this.#topicOfKey[key])).size);
      for (const key of keys) {
        wordWeights[key] = (wordWeights[key] ?? 0) + weight;
      }
    };
    await inSlices(this.words.postings.texts(), weigh, pause);
    const kindWeights = Float32Array.from(this.keys, (key) => keyKinds[key.kind].words);
    this.#table = { topicCount, topics: this.#topicOfKey, kindWeights, wordWeights };
  }
}
