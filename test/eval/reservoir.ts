import { seededRandom } from './seededRandom';

/** Keeps a fair sample of a stream: each thing offered is kept with the same chance. Seeded, so that a run can be repeated. */
export class Reservoir<T> {
  readonly items: T[] = [];
  readonly #size: number;
  readonly #chance: () => number;
  #offered = 0;

  constructor(size: number, seed: number) {
    this.#size = size;
    this.#chance = seededRandom(seed);
  }

  offer(item: T): void {
    this.#offered += 1;
    const at = this.items.length < this.#size ? this.items.length : Math.floor(this.#chance() * this.#offered);
    if (at < this.#size) {
      this.items[at] = item;
    }
  }
}
