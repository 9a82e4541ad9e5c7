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
  readonly copied: string;
  readonly loading: string;
  readonly opensOutside: string;
}
