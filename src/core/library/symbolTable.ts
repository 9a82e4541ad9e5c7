import type { Card, CardFile, Parameter, SymbolFacts } from './card';

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

  /** The parameter that an argument given by position fills. */
  parameterAt(symbol: string, position: number): Parameter | undefined {
    const parameter = this.facts(symbol)?.parameters?.[position];
    return parameter?.kind === undefined ? parameter : undefined;
  }
}
