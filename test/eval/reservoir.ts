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

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
