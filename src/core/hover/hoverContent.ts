import type { Card, MaybeLocalized } from '../library/card';
import { docsLink } from '../library/docsLink';
import type { Language } from '../library/language';
import type { NoteLibrary } from '../library/noteLibrary';
import type { SymbolTable } from '../library/symbolTable';
import type { Topic } from '../library/topic';
import type { Meaning } from '../python/meaning';
import { callFacts, describeFact } from './callFacts';
import { topicNamed } from './topicNamed';

/** What the user wants to see in a hover. */
export interface HoverOptions {
  readonly mode: 'full' | 'compact' | 'off';
  readonly formula: boolean;
  readonly shapes: boolean;
  readonly facts: boolean;
  readonly trap: boolean;
  readonly links: boolean;
}

/** One paragraph of a hover. Prose is ours: inline code in backticks, nothing else. */
export type HoverPart =
  | { readonly kind: 'headline'; readonly name: string; readonly otherName: string; readonly prose: string }
  | {
      readonly kind: 'argument';
      readonly name: string;
      readonly of: string;
      readonly prose: string;
      readonly default?: string | undefined;
    }
  | { readonly kind: 'deprecated'; readonly prose: string }
  | { readonly kind: 'note'; readonly prose: string }
  | { readonly kind: 'formula'; readonly tex: string; readonly text: string }
  | { readonly kind: 'shapes'; readonly shapes: string }
  /** What follows from the literal arguments of this very call. */
  | { readonly kind: 'facts'; readonly prose: string }
  | { readonly kind: 'trap'; readonly prose: string }
  | { readonly kind: 'links'; readonly topic?: string | undefined; readonly docs?: string | undefined };

/** Words that stand in a card, in the card's language. */
const words = {
  en: {
    holds: (symbol: string) => `An object of \`${symbol}\`.`,
    ownName: 'Your own name; explained because it is called like this topic.',
  },
  'zh-cn': {
    holds: (symbol: string) => `\`${symbol}\` 的实例。`,
    ownName: '这是你自己定义的名称；因与该主题同名而给出解释。',
  },
} as const;

/** The card for what stands in the code; undefined where there is nothing sure to say. */
export function hoverContent(
  meaning: Meaning,
  table: SymbolTable,
  library: NoteLibrary,
  language: Language,
  options: HoverOptions,
): readonly HoverPart[] | undefined {
  if (options.mode === 'off') {
    return undefined;
  }
  const parts = partsOf(meaning, table, library, language);
  return parts?.filter((part) => isWanted(part, options));
}

function partsOf(
  meaning: Meaning,
  table: SymbolTable,
  library: NoteLibrary,
  language: Language,
): readonly HoverPart[] | undefined {
  switch (meaning.kind) {
    case 'symbol': {
      const card = table.card(meaning.symbol);
      return card && symbolParts(meaning, card, table, library, language);
    }
    case 'argument': {
      const card = table.card(meaning.symbol);
      return card && argumentParts(meaning.symbol, meaning.parameter, card, table, language);
    }
    case 'ownName': {
      const topic = topicNamed(meaning.name, library);
      return topic && topicParts(topic, language);
    }
  }
}

function isWanted(part: HoverPart, options: HoverOptions): boolean {
  const isCompact = options.mode === 'compact';
  switch (part.kind) {
    case 'formula':
      return options.formula && !isCompact;
    case 'shapes':
      return options.shapes && !isCompact;
    case 'facts':
      return options.facts && !isCompact;
    case 'trap':
      return options.trap && !isCompact;
    case 'links':
      return options.links;
    default:
      return true;
  }
}

function symbolParts(
  { symbol, holds, call }: Meaning & { readonly kind: 'symbol' },
  card: Card,
  table: SymbolTable,
  library: NoteLibrary,
  language: Language,
): readonly HoverPart[] {
  const facts = callFacts(symbol, call ?? [], table).map((fact) => describeFact(fact, language));
  const shapes = shapesOf(symbol, card, language);
  return [
    ...(card.deprecated ? [{ kind: 'deprecated', prose: card.deprecated[language] } as const] : []),
    headline(card, language),
    ...(holds === 'instance' ? [{ kind: 'note', prose: words[language].holds(shortName(symbol)) } as const] : []),
    ...formulaPart(card),
    ...(shapes === undefined ? [] : [{ kind: 'shapes', shapes } as const]),
    ...(call && facts.length > 0
      ? [{ kind: 'facts', prose: facts.join(language === 'en' ? '; ' : '；') } as const]
      : []),
    ...(card.trap ? [{ kind: 'trap', prose: card.trap[language] } as const] : []),
    links(symbol, card, library),
  ];
}

function headline(card: Card, language: Language): HoverPart {
  const other = language === 'en' ? 'zh-cn' : 'en';
  return { kind: 'headline', ...names(card.name[language], card.name[other]), prose: card.what[language] };
}

function formulaPart(card: Card): readonly HoverPart[] {
  return card.formula === undefined ? [] : [{ kind: 'formula', tex: card.formula, text: card.text ?? '' }];
}

function shapesOf(symbol: string, { shapes }: Card, language: Language): string | undefined {
  if (shapes === undefined || isMaybeLocalized(shapes)) {
    return shapes && inLanguage(shapes, language);
  }
  const own = shapes[symbol];
  return own === undefined ? undefined : inLanguage(own, language);
}

function isMaybeLocalized(shapes: NonNullable<Card['shapes']>): shapes is MaybeLocalized {
  return typeof shapes === 'string' || ('en' in shapes && 'zh-cn' in shapes);
}

function inLanguage(text: MaybeLocalized, language: Language): string {
  return typeof text === 'string' ? text : text[language];
}

function argumentParts(
  symbol: string,
  parameter: string,
  card: Card,
  table: SymbolTable,
  language: Language,
): readonly HoverPart[] | undefined {
  const shared = Object.hasOwn(table.file.arguments, parameter) ? table.file.arguments[parameter] : undefined;
  const prose = (card.arguments?.[parameter] ?? shared)?.[language];
  if (prose === undefined) {
    return undefined;
  }
  const standard = table.parameter(symbol, parameter)?.default;
  return [
    { kind: 'argument', name: parameter, of: card.name[language], prose, default: standard },
    ...formulaPart(card),
    { kind: 'links', topic: card.topic, docs: docsLink(symbol) },
  ];
}

function topicParts(topic: Topic, language: Language): readonly HoverPart[] | undefined {
  const other = language === 'en' ? 'zh-cn' : 'en';
  return topic.summary
    ? [
        {
          kind: 'headline',
          ...names(topic.title[language], topic.title[other]),
          prose: topic.summary[language],
        },
        { kind: 'note', prose: words[language].ownName },
        { kind: 'links', topic: topic.id },
      ]
    : undefined;
}

/** A name in two languages; once, where one of them holds the other: `Focal Loss 焦点损失`. */
function names(name: string, otherName: string): { readonly name: string; readonly otherName: string } {
  const [own, other] = [name.toLowerCase(), otherName.toLowerCase()];
  if (other.includes(own)) {
    return { name: otherName, otherName: '' };
  }
  return { name, otherName: own.includes(other) ? '' : otherName };
}

function links(symbol: string, card: Card, library: NoteLibrary): HoverPart {
  return { kind: 'links', topic: card.topic ?? library.topicOfSymbol(symbol)?.id, docs: docsLink(symbol) };
}

/** `torch.nn.LayerNorm` as people write it: `nn.LayerNorm`. */
export function shortName(symbol: string): string {
  return symbol.replace(/^torch\.nn\.functional\./, 'F.').replace(/^torch\.(?=nn\.|optim\.)/, '');
}
