import { PrefixIndex } from './prefixIndex';
import type { Pause } from './slices';

/** Which keys a text belongs to, by the text or by its beginning. */
export class Postings {
  readonly #keys = new Map<string, number[]>();
  readonly #prefixes = new PrefixIndex();

  add(text: string, key: number): void {
    const keys = this.#keys.get(text);
    if (keys) {
      keys.push(key);
    } else {
      this.#keys.set(text, [key]);
      this.#prefixes.add(text);
    }
  }

  async sort(pause?: Pause): Promise<void> {
    await this.#prefixes.sort(pause);
  }

  has(text: string): boolean {
    return this.#keys.has(text);
  }

  keysOf(text: string): readonly number[] {
    return this.#keys.get(text) ?? [];
  }

  startingWith(prefix: string): readonly string[] {
    return this.#prefixes.startingWith(prefix);
  }

  texts(): Iterable<string> {
    return this.#keys.keys();
  }
}
