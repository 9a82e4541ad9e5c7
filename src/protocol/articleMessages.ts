import type { RawInputs } from '../core/calculator/readInputs';
import type { Language } from '../core/library/language';
import { type ArticleState, isPosition, isRecord, isString, type Position, parseInputs } from './articleState';

/** A topic as a link shows it. */
export interface TopicLink {
  readonly id: string;
  readonly title: string;
}

/** An article as the page shows it. */
export interface ArticleView {
  readonly topic: string;
  readonly language: Language;
  readonly title: string;
  /** All of it, or what a window shows at once where `isWhole` says so; then the rest follows. */
  readonly html: string;
  readonly isWhole: boolean;
  /** Entries of the table of contents; `html` may hold a formula. */
  readonly headings: readonly { readonly id: string; readonly level: 2 | 3; readonly html: string }[];
  /** The same article in the other language, where both are shown. */
  readonly other?: { readonly language: Language; readonly html: string } | undefined;
  readonly breadcrumb: readonly string[];
  readonly previous?: TopicLink | undefined;
  readonly next?: TopicLink | undefined;
}

/** How the reader wants the page to look. */
export interface Appearance {
  /** CSS pixels; 0 follows VS Code. */
  readonly fontSize: number;
  /** Width of the text in ems of its font. */
  readonly width: number;
}

/** What the reader marked a topic as. */
export interface TopicMark {
  readonly saved: boolean;
  readonly read: boolean;
}

/** An article with everything that the page needs to show it; also written into a page when it is made. */
export interface Showing {
  readonly article: ArticleView;
  readonly state: ArticleState;
  readonly appearance: Appearance;
  readonly mark: TopicMark;
}

/** What a page shows, apart from the place in it: equal keys mean the same text. */
export function showingKey({ place, language, both }: ArticleState): string {
  return `${place.topic} ${language}${both ? ' both' : ''}`;
}

//#region host to page
export type ToPage =
  /** Show an article at the state's place; the page keeps the state for a reload. */
  | { readonly type: 'show'; readonly showing: Showing }
  /** What follows the opening of the article with this key. */
  | { readonly type: 'rest'; readonly key: string; readonly html: string }
  | { readonly type: 'appearance'; readonly appearance: Appearance }
  | { readonly type: 'mark'; readonly topic: string; readonly mark: TopicMark }
  | { readonly type: 'scrollTo'; readonly position: Position }
  /** Mark a text, from the heading on that the article was opened at. */
  | { readonly type: 'find'; readonly text: string };
//#endregion

//#region page to host
export type FromPage =
  /** The page's script runs; it shows the article with this key, or wants one. */
  | { readonly type: 'ready'; readonly shows?: string | undefined }
  /** The article is on the screen; benchmarks and tests wait for it. */
  | { readonly type: 'painted'; readonly topic: string }
  | {
      readonly type: 'openTopic';
      readonly topic: string;
      readonly anchor?: string | undefined;
      readonly beside: boolean;
    }
  | { readonly type: 'openExternal'; readonly url: string }
  | { readonly type: 'goBack' }
  | { readonly type: 'goForward' }
  | { readonly type: 'switchLanguage' }
  | { readonly type: 'toggleBoth' }
  | { readonly type: 'toggleSaved' }
  | { readonly type: 'toggleRead' }
  | { readonly type: 'search' }
  | { readonly type: 'export' }
  | { readonly type: 'copy'; readonly text: string }
  /** Put a code block of the article at the cursor of the editor. */
  | { readonly type: 'insertCode'; readonly code: string }
  /** The reader scrolled, or opened and closed answers. */
  | { readonly type: 'moved'; readonly topic: string; readonly position: Position; readonly opened: readonly string[] }
  /** The reader changed a calculator; `inputs` holds all that differs from its start. */
  | { readonly type: 'calculated'; readonly topic: string; readonly calculator: string; readonly inputs: RawInputs };
//#endregion

/** Reads a message of the page; undefined for anything that is not one. */
export function parseFromPage(value: unknown): FromPage | undefined {
  if (!isRecord(value)) {
    return undefined;
  }
  const { topic, anchor, beside, url, position, opened, text, code, shows, calculator, inputs } = value;
  switch (value.type) {
    case 'ready':
      return { type: 'ready', ...(isString(shows) ? { shows } : {}) };
    case 'goBack':
    case 'goForward':
    case 'switchLanguage':
    case 'toggleBoth':
    case 'toggleSaved':
    case 'toggleRead':
    case 'search':
    case 'export':
      return { type: value.type };
    case 'painted':
      return isString(topic) ? { type: 'painted', topic } : undefined;
    case 'openTopic':
      return isString(topic)
        ? { type: 'openTopic', topic, beside: beside === true, ...(isString(anchor) ? { anchor } : {}) }
        : undefined;
    case 'openExternal':
      return isString(url) && /^https?:\/\//.test(url) ? { type: 'openExternal', url } : undefined;
    case 'copy':
      return isString(text) ? { type: 'copy', text } : undefined;
    case 'insertCode':
      return isString(code) ? { type: 'insertCode', code } : undefined;
    case 'moved':
      return isString(topic) && isPosition(position)
        ? { type: 'moved', topic, position, opened: Array.isArray(opened) ? opened.filter(isString) : [] }
        : undefined;
    case 'calculated':
      return isString(topic) && isString(calculator)
        ? { type: 'calculated', topic, calculator, inputs: parseInputs(inputs) }
        : undefined;
    default:
      return undefined;
  }
}
