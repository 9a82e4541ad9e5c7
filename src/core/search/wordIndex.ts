import { Postings } from './postings';
import type { Term } from './query';
import { inSlices, type Pause } from './slices';
import { Spelling } from './spelling';
import { stemOf } from './words';

/** Keys that hold a word, and how well the word fits the typed one: 1 where it is the same. */
export interface WordMatch {
  readonly keys: readonly number[];
  readonly fit: number;
}

/** Finds the keys that hold a word, a word that it begins, another form of it, or what it is a slip of. */
export class WordIndex {
  readonly postings = new Postings();
  readonly #spelling = new Spelling();

  /** Has to be called once all words are in. */
  async arrange(pause?: Pause): Promise<void> {
    await this.postings.sort(pause);
    await inSlices(this.postings.texts(), (word) => this.#spelling.add(word), pause);
  }

  /** Whether a key holds the word, a word that it begins, or another form of it. */
  knows(term: Term): boolean {
    return this.#direct(term).length > 0;
  }

  /** The keys for a term. One that no key holds may be a slip. */
  matches(term: Term): readonly WordMatch[] {
    const direct = this.#direct(term);
    return term.isHan
      ? direct
      : [...(direct.length > 0 ? direct : this.#corrections(term.text)), ...this.#begun(term.text)];
  }

  #direct({ text, isHan }: Term): readonly WordMatch[] {
    const same = this.#match(text, 1);
    return isHan ? same : [...same, ...this.#beginnings(text), ...this.#forms(text)];
  }

  #beginnings(text: string): readonly WordMatch[] {
    return text.length < 2
      ? []
      : this.postings
          .startingWith(text)
          .filter((word) => word !== text)
          .flatMap((word) => this.#match(word, 0.45 + (0.5 * text.length) / word.length));
  }

  #forms(text: string): readonly WordMatch[] {
    const stem = stemOf(text);
    return stem === text || stem.length < 4
      ? []
      : this.postings
          .startingWith(stem)
          .filter((word) => !word.startsWith(text))
          .flatMap((word) => this.#match(word, stemOf(word) === stem ? 0.85 : 0.5));
  }

  #corrections(text: string): readonly WordMatch[] {
    return this.#spelling
      .closest(text)
      .flatMap(({ word, slips }) => this.#match(word, 0.9 - (1.2 * slips) / text.length));
  }

  /** The words that begin the typed one: `data` for `dataset`. */
  #begun(text: string): readonly WordMatch[] {
    const lengths = Array.from({ length: Math.max(0, text.length - 4) }, (_, at) => at + 4);
    return lengths.flatMap((length) => this.#match(text.slice(0, length), (0.7 * length) / text.length));
  }

  #match(word: string, fit: number): readonly WordMatch[] {
    const keys = this.postings.keysOf(word);
    return keys.length > 0 ? [{ keys, fit }] : [];
  }
}
