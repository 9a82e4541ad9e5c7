/** A word of a vocabulary that may be meant, and how many slips lie between. */
export interface Correction {
  readonly word: string;
  readonly slips: number;
}

/** Finds the words that a mistyped or half-typed word may mean. */
export class Spelling {
  readonly #words: readonly string[];
  readonly #letters: Uint32Array;

  constructor(words: readonly string[]) {
    this.#words = words.filter((word) => word.length > 2 && /^[a-z]/.test(word));
    this.#letters = Uint32Array.from(this.#words, lettersOf);
  }

  /** The nearest words, all equally near; none where even the nearest is too far for a word of this length. */
  closest(typed: string): readonly Correction[] {
    let allowed = allowedSlips(typed);
    let found: Correction[] = [];
    const letters = lettersOf(typed);
    for (const [at, word] of this.#words.entries()) {
      // Each slip puts in or leaves out at most one letter on either side; most words fall here.
      const missing = bitCount(letters & ~(this.#letters[at] ?? 0));
      if (missing > allowed || word.length < typed.length - allowed) {
        continue;
      }
      const slips = slipsBetween(typed, word);
      if (slips < allowed) {
        found = [];
        allowed = slips;
      }
      if (slips <= allowed && slips < typed.length - 1) {
        found.push({ word, slips });
      }
    }
    return found;
  }
}

/** Short words have too many neighbours to allow them much. */
function allowedSlips(typed: string): number {
  return typed.length < 3 ? 0 : typed.length < 6 ? 1 : typed.length < 12 ? 2 : 3;
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
 * more, its beginning.
 */
export function slipsBetween(typed: string, word: string): number {
  let [before, last]: [number[], number[]] = [[], Array.from({ length: word.length + 1 }, (_, at) => at)];
  for (let row = 1; row <= typed.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= word.length; column += 1) {
      const same = typed[row - 1] === word[column - 1];
      let slips = Math.min((last[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1, (last[column - 1] ?? 0) + (same ? 0 : 1));
      if (row > 1 && column > 1 && typed[row - 1] === word[column - 2] && typed[row - 2] === word[column - 1]) {
        slips = Math.min(slips, (before[column - 2] ?? 0) + 1);
      }
      current.push(slips);
    }
    [before, last] = [last, current];
  }
  return Math.min(last[word.length] ?? 0, Math.min(...last.slice(typed.length)) + 0.5);
}
