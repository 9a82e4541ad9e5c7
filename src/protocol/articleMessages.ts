import type { Language } from '../core/library/language';
import { type ArticleState, isPosition, isRecord, isString, type Position } from './articleState';

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
  readonly html: string;
  /** Entries of the table of contents; `html` may hold a formula. */
  readonly headings: readonly { readonly id: string; readonly level: 2 | 3; readonly html: string }[];
  readonly breadcrumb: readonly string[];
  readonly previous?: TopicLink | undefined;
  readonly next?: TopicLink | undefined;
}

//#region host to page
export type ToPage =
  /** Show an article at the state's place; the page keeps the state for a reload. */
  | { readonly type: 'show'; readonly article: ArticleView; readonly state: ArticleState }
  | { readonly type: 'scrollTo'; readonly position: Position };
//#endregion

//#region page to host
export type FromPage =
  /** The page's script runs and wants its article. */
  | { readonly type: 'ready' }
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
  | { readonly type: 'search' }
  /** The reader scrolled, or opened and closed answers. */
  | { readonly type: 'moved'; readonly topic: string; readonly position: Position; readonly opened: readonly string[] };
//#endregion

/** Reads a message of the page; undefined for anything that is not one. */
export function parseFromPage(value: unknown): FromPage | undefined {
  if (!isRecord(value)) {
    return undefined;
  }
  const { topic, anchor, beside, url, position, opened } = value;
  switch (value.type) {
    case 'ready':
    case 'goBack':
    case 'goForward':
    case 'switchLanguage':
    case 'search':
      return { type: value.type };
    case 'painted':
      return isString(topic) ? { type: 'painted', topic } : undefined;
    case 'openTopic':
      return isString(topic)
        ? { type: 'openTopic', topic, beside: beside === true, ...(isString(anchor) ? { anchor } : {}) }
        : undefined;
    case 'openExternal':
      return isString(url) && /^https?:\/\//.test(url) ? { type: 'openExternal', url } : undefined;
    case 'moved':
      return isString(topic) && isPosition(position)
        ? { type: 'moved', topic, position, opened: Array.isArray(opened) ? opened.filter(isString) : [] }
        : undefined;
    default:
      return undefined;
  }
}
