import type { Meaning } from '../../src/core/python/meaning';

/** What the extension said at a position: the meaning it found, and whether a hover appears for it. */
export interface Answer {
  readonly meaning: AnsweredMeaning;
  readonly shown: boolean;
}

/** A meaning without its place and the arguments of its call. */
export type AnsweredMeaning =
  | { readonly kind: 'symbol'; readonly symbol: string; readonly holds: 'itself' | 'instance' }
  | { readonly kind: 'argument'; readonly symbol: string; readonly parameter: string }
  | { readonly kind: 'ownName'; readonly name: string };

/** What of a meaning is compared with the oracle. */
export function answered(meaning: Meaning): AnsweredMeaning {
  switch (meaning.kind) {
    case 'symbol':
      return { kind: 'symbol', symbol: meaning.symbol, holds: meaning.holds };
    case 'argument':
      return { kind: 'argument', symbol: meaning.symbol, parameter: meaning.parameter };
    case 'ownName':
      return { kind: 'ownName', name: meaning.name };
  }
}

/** An answer in a few words, for examples. */
export function describeAnswer(answer: Answer | null): string {
  if (!answer) {
    return 'nothing';
  }
  const { meaning } = answer;
  switch (meaning.kind) {
    case 'symbol':
      return meaning.holds === 'itself' ? meaning.symbol : `an object of ${meaning.symbol}`;
    case 'argument':
      return `${meaning.symbol}(${meaning.parameter}=)`;
    case 'ownName':
      return `own name ${meaning.name}`;
  }
}
