import { inSlices, type Pause } from './slices';

/** Texts to look up by their beginning. They lie in drawers by their first two characters, each sorted. */
export class PrefixIndex {
  readonly #drawers = new Map<string, string[]>();

  /** Takes a text; the caller sees to it that none comes twice. */
  add(text: string): void {
    const first = text.slice(0, 2);
    const drawer = this.#drawers.get(first);
    if (drawer) {
      drawer.push(text);
    } else {
      this.#drawers.set(first, [text]);
    }
  }

  /** Has to be called once all texts are in. */
  async sort(pause?: Pause): Promise<void> {
    await inSlices(this.#drawers.values(), (drawer) => drawer.sort(), pause);
  }

  /** Texts that begin with another, at most so many. */
  startingWith(prefix: string, limit = 4000): readonly string[] {
    const found: string[] = [];
    for (const drawer of this.#drawersOf(prefix)) {
      for (let at = firstAtOrAfter(drawer, prefix); found.length < limit && drawer[at]?.startsWith(prefix); at += 1) {
        found.push(drawer[at] ?? '');
      }
    }
    return found;
  }

  #drawersOf(prefix: string): readonly (readonly string[])[] {
    if (prefix.length > 1) {
      return [this.#drawers.get(prefix.slice(0, 2)) ?? []];
    }
    return [...this.#drawers].flatMap(([first, drawer]) => (first.startsWith(prefix) ? [drawer] : []));
  }
}

function firstAtOrAfter(sorted: readonly string[], text: string): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? '') < text) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}
