import type { Localized } from './language';

/** A text that may be the same in every language. */
export type MaybeLocalized = string | Localized;

/** What a hover says about a symbol, in our own words. Compiled from `resources/symbols/*.yaml`. */
export interface Card {
  readonly symbols: readonly string[];
  readonly topic?: string | undefined;
  readonly name: Localized;
  readonly what: Localized;
  readonly deprecated?: Localized | undefined;
  /** TeX; its picture is found in the formula file under this very text. */
  readonly formula?: string | undefined;
  /** The formula as readable plain text. */
  readonly text?: string | undefined;
  readonly shapes?: MaybeLocalized | Readonly<Record<string, MaybeLocalized>> | undefined;
  readonly trap?: Localized | undefined;
  readonly arguments?: Readonly<Record<string, Localized>> | undefined;
}

/** A parameter as the installed library declares it. */
export interface Parameter {
  readonly name: string;
  /** Source text of the default, absent where the parameter is required. */
  readonly default?: string | undefined;
  /** `*args` and `**kwargs` take what is left; `keyword` parameters cannot be given by position. */
  readonly kind?: 'keyword' | 'variadic' | 'variadic-keyword' | undefined;
}

/** Facts about a symbol that a script read from the library. */
export interface SymbolFacts {
  readonly kind: 'class' | 'function' | 'method' | 'property' | 'value';
  readonly parameters?: readonly Parameter[] | undefined;
  /** Where the library tells several signatures apart: what each takes by position. */
  readonly overloads?: readonly (readonly Parameter[])[] | undefined;
  /** Classes that a class inherits from, nearest first, as far as they have cards. */
  readonly bases?: readonly string[] | undefined;
  /** The class of what a call gives; `self` where a method returns its own object. */
  readonly returns?: string | undefined;
}

/** What `dist/cards.json` holds; read on the first hover. */
export interface CardFile {
  readonly format: typeof cardFormat;
  readonly cards: readonly Card[];
  /** What arguments mean that many symbols share, by name. */
  readonly arguments: Readonly<Record<string, Localized>>;
  readonly facts: Readonly<Record<string, SymbolFacts>>;
  /** Other paths under which a library offers a symbol: `torch.nn.modules.normalization.LayerNorm`. */
  readonly aliases: Readonly<Record<string, string>>;
  /** Versions of the libraries that the facts were read from. */
  readonly versions: Readonly<Record<string, string>>;
}

export const cardFormat = 1;
