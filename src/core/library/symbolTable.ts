import type { Card, CardFile, Parameter, SymbolFacts } from './card';

/** How a function is called, as far as it tells signatures apart. */
export interface CallShape {
  readonly positional: number;
  readonly keywords: readonly string[];
  /** Whether a `*` or `**` hides some of its arguments. */
  readonly spread: boolean;
}

/** What is known about the libraries' names: cards, facts, and under which other paths a symbol is offered. */
export class SymbolTable {
  readonly file: CardFile;
  readonly #cards: ReadonlyMap<string, Card>;

  constructor(file: CardFile) {
    this.file = file;
    this.#cards = new Map(file.cards.flatMap((card) => card.symbols.map((symbol) => [symbol, card])));
  }

  card(symbol: string): Card | undefined {
    return this.#cards.get(symbol);
  }

  facts(symbol: string): SymbolFacts | undefined {
    return Object.hasOwn(this.file.facts, symbol) ? this.file.facts[symbol] : undefined;
  }

  /** The symbol a path stands for: `torch.nn.modules.normalization.LayerNorm` is `torch.nn.LayerNorm`. */
  canonical(path: string): string {
    if (this.#cards.has(path)) {
      return path;
    }
    const direct = Object.hasOwn(this.file.aliases, path) ? this.file.aliases[path] : undefined;
    if (direct !== undefined) {
      return direct;
    }
    // A member of a class that is known by another path.
    const dot = path.lastIndexOf('.');
    const owner = dot < 0 ? undefined : path.slice(0, dot);
    const known = owner !== undefined && Object.hasOwn(this.file.aliases, owner) ? this.file.aliases[owner] : undefined;
    return known === undefined ? path : known + path.slice(dot);
  }

  isClass(path: string): boolean {
    const facts = this.facts(path);
    return facts ? facts.kind === 'class' : /^[A-Z]/.test(path.slice(path.lastIndexOf('.') + 1));
  }

  /** What an attribute of a class means: its own, or the one it inherits. */
  member(owner: string, name: string): string | undefined {
    return [owner, ...(this.facts(owner)?.bases ?? [])]
      .map((type) => `${type}.${name}`)
      .find((path) => this.#cards.has(path) || this.facts(path) !== undefined);
  }

  parameter(symbol: string, name: string): Parameter | undefined {
    return this.facts(symbol)?.parameters?.find((parameter) => parameter.name === name);
  }

  /** The parameter that an argument given by position fills; of several signatures those count that the call fits. */
  parameterAt(symbol: string, position: number, call?: CallShape): Parameter | undefined {
    const { parameters = [], overloads } = this.facts(symbol) ?? {};
    const fitting = overloads && call ? overloads.filter((each) => fits(each, call)) : [parameters];
    const [parameter, ...others] = fitting.map((each) => each[position]);
    const isAgreed = parameter?.kind === undefined && others.every((other) => other?.name === parameter?.name);
    return isAgreed ? parameter : undefined;
  }
}

/** Whether a call with so many arguments can be meant for a signature. */
function fits(parameters: readonly Parameter[], { positional, keywords, spread }: CallShape): boolean {
  const isVariadic = parameters.some(({ kind }) => kind === 'variadic');
  const missing = parameters.slice(positional).filter((each) => each.default === undefined && each.kind === undefined);
  const isEnough = missing.every(({ name }) => keywords.includes(name));
  return spread || (isEnough && (isVariadic || positional <= parameters.length));
}
