import { normalized } from './normalize';

/** A run of Chinese characters, or a word of anything else; `c++` and `==` are words of their own. */
const run = /\p{Script=Han}+|c\+\+|[=!<>]=|[^\p{Script=Han}\s.+=<>*&|[\]{}]+/gu;

const han = /\p{Script=Han}/u;

export interface Run {
  readonly text: string;
  readonly isHan: boolean;
}

/** The runs of a normalised text, in order. */
export function runsOf(normalizedText: string): readonly Run[] {
  return [...normalizedText.matchAll(run)].map(([text]) => ({ text, isHan: han.test(text) }));
}

/** Chinese has no spaces, so its words are the pairs of neighbouring characters; a lone character is a word too. */
export function pairsOf(text: string): readonly string[] {
  const characters = [...text];
  return characters.length < 2 ? characters : characters.slice(1).map((next, at) => `${characters[at]}${next}`);
}

/** The words under which a text is filed: each word, the parts of a camel-case name, the pairs of Chinese. */
export function wordsOf(text: string): ReadonlySet<string> {
  const words = runsOf(normalized(text)).flatMap(({ text: word, isHan }) => (isHan ? pairsOf(word) : [word]));
  const parts = [...text.matchAll(/[A-Z]?[a-z]{2,}|[A-Z]{3,}(?![a-z])/g)].map(([part]) => part.toLowerCase());
  return new Set([...words, ...parts]);
}

/** Endings in which forms of one English word differ, longest first: exploding, explodes and explosion share `explo`. */
const endings =
  /(?:isations?|izations?|ations?|itions?|[st]ions?|ising|izing|ingly|ings?|ised|ized|ises|izes|ise|ize|ers?|ors?|ed|es|al|ly|e|s)$/;

/** The beginning that forms of an English word share; a short word is its own. */
export function stemOf(word: string): string {
  const stem = word.replace(endings, '');
  return stem.length >= 4 ? stem : word.length > 4 ? word.replace(/(?:es|s|e|d)$/, '') : word;
}
