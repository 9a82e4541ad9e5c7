import type { RawInputs } from '../core/calculator/readInputs';
import { isLanguage, type Language } from '../core/library/language';

/** Where a reader is in an article: a heading, and how far below it the window starts, in CSS pixels. */
export interface Position {
  /** Id of the heading; `top` above the first one. */
  readonly anchor: string;
  readonly offset: number;
}

/** A stop in the history of a panel. */
export interface Place extends Position {
  readonly topic: string;
}

/** What a panel keeps over a reload of the window. A heading survives a change of font or width; a scroll position does not. */
export interface ArticleState {
  readonly version: typeof articleStateVersion;
  readonly language: Language;
  readonly place: Place;
  readonly back: readonly Place[];
  readonly forward: readonly Place[];
  /** Whether both languages stand beside each other. */
  readonly both: boolean;
  /** Ids of the folded parts that the reader opened in the article shown. */
  readonly opened: readonly string[];
  /** What the reader changed in calculators: by topic, then by calculator. */
  readonly calculators: Readonly<Record<string, CalculatorChanges>>;
}

export type CalculatorChanges = Readonly<Record<string, RawInputs>>;

export const articleStateVersion = 1;

export const top: Position = { anchor: 'top', offset: 0 };

/** Reads what VS Code kept; anything else than a state of this version is dropped. */
export function parseArticleState(value: unknown): ArticleState | undefined {
  if (!isRecord(value) || value.version !== articleStateVersion) {
    return undefined;
  }
  const { language, place, back, forward, both, opened, calculators } = value;
  if (!isLanguage(language) || !isPlace(place) || !isArrayOf(back, isPlace) || !isArrayOf(forward, isPlace)) {
    return undefined;
  }
  return {
    version: articleStateVersion,
    language,
    place,
    back,
    forward,
    both: both === true,
    opened: isArrayOf(opened, isString) ? opened : [],
    calculators: parseCalculators(calculators),
  };
}

/** What is broken is left out: the calculator starts anew, the rest of the state stays. */
function parseCalculators(value: unknown): ArticleState['calculators'] {
  return mapRecord(value, (topic) => mapRecord(topic, parseInputs));
}

/** A text that is longer than any form needs did not come from one. */
const longestInput = 5000;

/** What fields of a calculator hold. */
export function parseInputs(value: unknown): RawInputs {
  return mapRecord(value, (text) => (isString(text) && text.length <= longestInput ? text : undefined));
}

function mapRecord<T>(value: unknown, read: (item: unknown) => T | undefined): Readonly<Record<string, T>> {
  const entries = isRecord(value) && !Array.isArray(value) ? Object.entries(value) : [];
  return Object.fromEntries(
    entries.flatMap(([key, item]) => {
      const parsed = read(item);
      return parsed === undefined ? [] : [[key, parsed]];
    }),
  );
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

export function isString(value: unknown): value is string {
  return typeof value === 'string';
}

export function isPosition(value: unknown): value is Position {
  return isRecord(value) && isString(value.anchor) && Number.isFinite(value.offset);
}

function isPlace(value: unknown): value is Place {
  return isPosition(value) && isRecord(value) && isString(value.topic);
}

export function isArrayOf<T>(value: unknown, is: (item: unknown) => item is T): value is readonly T[] {
  return Array.isArray(value) && value.every(is);
}
