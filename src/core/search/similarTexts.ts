import { inSlices, type Pause } from './slices';

/** Pairs that so many texts have together are enough to tell them apart; the commonest pairs are left out. */
const enoughTexts = 40_000;

/** Finds, among very many texts, the few worth a closer look: those that share most pairs of characters with another. */
export class SimilarTexts {
  readonly #texts: string[] = [];
  readonly #pairs = new Map<string, number[]>();

  static async of(texts: Iterable<string>, pause?: Pause): Promise<SimilarTexts> {
    const similar = new SimilarTexts();
    await inSlices(texts, (text) => similar.#add(text), pause);
    return similar;
  }

  /** The most similar texts, best first. */
  to(text: string, limit: number): readonly string[] {
    const shared = new Uint8Array(this.#texts.length);
    const touched: number[] = [];
    for (const texts of this.#rarePairs(text)) {
      for (const at of texts) {
        if (shared[at] === 0) {
          touched.push(at);
        }
        shared[at] = (shared[at] ?? 0) + 1;
      }
    }
    const likeness = (at: number) => (shared[at] ?? 0) / (text.length + (this.#texts[at]?.length ?? 0));
    const enough = quantileFromTop(touched.map(likeness), limit);
    return touched
      .filter((at) => likeness(at) >= enough)
      .slice(0, limit)
      .map((at) => this.#texts[at] ?? '');
  }

  #rarePairs(text: string): readonly (readonly number[])[] {
    const lists = [...pairsIn(text)]
      .map((pair) => this.#pairs.get(pair) ?? [])
      .sort((one, other) => one.length - other.length);
    let sum = 0;
    return lists.filter((texts) => {
      sum += texts.length;
      return sum <= enoughTexts || texts === lists[0];
    });
  }

  #add(text: string): void {
    const at = this.#texts.push(text) - 1;
    for (const pair of pairsIn(text)) {
      const texts = this.#pairs.get(pair);
      if (texts) {
        texts.push(at);
      } else {
        this.#pairs.set(pair, [at]);
      }
    }
  }
}

/** The value that so many others reach. */
function quantileFromTop(values: readonly number[], count: number): number {
  return Float32Array.from(values).sort().at(-count) ?? 0;
}

function pairsIn(text: string): ReadonlySet<string> {
  return new Set(Array.from({ length: Math.max(0, text.length - 1) }, (_, at) => text.slice(at, at + 2)));
}
