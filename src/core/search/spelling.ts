/** A word of a vocabulary that may be meant, and how many slips lie between. */
export interface Correction {
  readonly word: string;
  readonly slips: number;
}

/** Finds the words that a mistyped or half-typed word may mean. */
export class Spelling {
  readonly #words: string[] = [];
  readonly #letters: number[] = [];

  /** Takes a word of at least three letters; others have too many neighbours, or no letters to mistake. */
  add(word: string): void {
    if (word.length > 2 && /^[a-z]/.test(word)) {
      this.#words.push(word);
      this.#letters.push(lettersOf(word));
    }
  }

  /** The nearest words, all equally near; none where even the nearest is too far for a word of this length. */
  closest(typed: string): readonly Correction[] {
    const found = this.within(typed, allowedSlips(typed));
    const least = found.reduce((slips, each) => Math.min(slips, each.slips), Number.POSITIVE_INFINITY);
    return found.filter(({ slips }) => slips === least);
  }

  /** The words with no more slips than that. */
  within(typed: string, most: number): readonly Correction[] {
    const found: Correction[] = [];
    const letters = lettersOf(typed);
    for (let at = 0; at < this.#words.length; at += 1) {
      const word = this.#words[at] ?? '';
      // A slip brings in one letter at most that the word does not have; most words fall here.
      if (bitCount(letters & ~(this.#letters[at] ?? 0)) <= most && word.length >= typed.length - most) {
        const slips = slipsBetween(typed, word, most);
        if (slips <= most && slips < typed.length - 1) {
          found.push({ word, slips });
        }
      }
    }
    return found;
  }
}

/** Short words have too many neighbours to allow them much. */
function allowedSlips(typed: string): number {
  return typed.length < 4 ? 0 : typed.length < 7 ? 1 : typed.length < 12 ? 2 : 3;
}

/** A set of the letters of a word, as bits. */
function lettersOf(word: string): number {
  let letters = 0;
  for (let at = 0; at < word.length; at += 1) {
    const code = word.charCodeAt(at) - 97;
    letters |= 1 << (code >= 0 && code < 26 ? code : 26);
  }
  return letters >>> 0;
}

function bitCount(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) {
    count += 1;
  }
  return count;
}

/**
 * Letters put in, left out, replaced or swapped with a neighbour between what is typed and the word or, at half a slip
 * more, its beginning. Infinite where they are more than are of interest.
 */
export function slipsBetween(typed: string, word: string, most = typed.length): number {
  const width = Math.min(word.length, typed.length + Math.floor(most));
  let [beforeLast, last, current] = [0, 1, 2].map(() => new Uint8Array(width + 1)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  last.forEach((_, column) => {
    last[column] = column;
  });
  for (let row = 1; row <= typed.length; row += 1) {
    current[0] = row;
    let least = row;
    for (let column = 1; column <= width; column += 1) {
      const [letter, other] = [typed.charCodeAt(row - 1), word.charCodeAt(column - 1)];
      let slips = (last[column - 1] ?? 0) + (letter === other ? 0 : 1);
      slips = Math.min(slips, (last[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1);
      const areSwapped =
        row > 1 && column > 1 && letter === word.charCodeAt(column - 2) && typed.charCodeAt(row - 2) === other;
      if (areSwapped) {
        slips = Math.min(slips, (beforeLast[column - 2] ?? 0) + 1);
      }
      current[column] = slips;
      least = Math.min(least, slips);
    }
    if (least > most) {
      return Number.POSITIVE_INFINITY;
    }
    [beforeLast, last, current] = [last, current, beforeLast];
  }
  const whole = width === word.length ? (last[width] ?? 0) : Number.POSITIVE_INFINITY;
  return last.subarray(typed.length).reduce((least, slips) => Math.min(least, slips + 0.5), whole);
}
