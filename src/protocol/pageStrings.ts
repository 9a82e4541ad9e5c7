/** The words of the article page, in the language of VS Code; the host fills them in, the page shows them. */
export interface PageStrings {
  readonly back: string;
  readonly forward: string;
  readonly switchLanguage: string;
  readonly search: string;
  readonly contents: string;
  readonly previous: string;
  readonly next: string;
  readonly copyCode: string;
  readonly insertCode: string;
  readonly copyFormula: string;
  readonly both: string;
  readonly save: string;
  readonly unsave: string;
  readonly markRead: string;
  readonly markUnread: string;
  readonly export: string;
  readonly find: string;
  readonly findNext: string;
  readonly findPrevious: string;
  readonly noResults: string;
  readonly close: string;
  readonly copied: string;
  readonly loading: string;
  readonly opensOutside: string;
}
