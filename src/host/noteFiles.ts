import type * as vscode from 'vscode';
import { type FormulaFile, formulaFormat } from '../core/hover/formulaPicture';
import { lazy } from '../core/lazy';
import { type CardFile, cardFormat } from '../core/library/card';
import type { Language } from '../core/library/language';
import { type LibraryIndex, parseLibraryIndex } from '../core/library/noteLibrary';
import type { Topic, TopicSources } from '../core/library/topic';
import type { SearchFile } from '../core/search/searchIndex';
import type { TextFile } from '../core/search/textSearch';
import { readShippedText } from './shippedFile';

/** The compiled notes in `dist`, each file read when it is first needed. Works on disk and on the web alike. */
export class NoteFiles {
  readonly #extension: vscode.Uri;

  constructor(extension: vscode.Uri) {
    this.#extension = extension;
  }

  async index(): Promise<LibraryIndex> {
    return parseLibraryIndex(await this.#text('index.json'));
  }

  readonly cards = lazy(async () => withFormat<CardFile>(JSON.parse(await this.#text('cards.json')), cardFormat));

  readonly formulas = lazy(async () =>
    withFormat<FormulaFile>(JSON.parse(await this.#text('formulas.json')), formulaFormat),
  );

  readonly search = lazy(async () => JSON.parse(await this.#text('search.json')) as SearchFile);

  /** The articles' plain text, for the search in it. */
  async text(language: Language): Promise<TextFile> {
    return JSON.parse(await this.#text(`text.${language}.json`)) as TextFile;
  }

  readonly #sources = lazy(
    async () => JSON.parse(await this.#text('sources.json')) as Readonly<Record<string, TopicSources>>,
  );

  async sourcesOf(topic: Topic): Promise<TopicSources> {
    return (await this.#sources())[topic.id] ?? { references: [], papers: [], figures: [] };
  }

  /** The text of an article, or undefined where the topic is not written. */
  async article(topic: Topic, language: Language): Promise<string | undefined> {
    return topic.hasArticle ? this.#text(`articles/${topic.id}.${language}.md`) : undefined;
  }

  async figuresOf(topic: Topic): Promise<ReadonlyMap<string, string>> {
    const { figures } = await this.sourcesOf(topic);
    const files = figures.map(async ({ file }) => [file, await this.#text(`figures/${topic.id}.${file}`)] as const);
    return new Map(await Promise.all(files));
  }

  async #text(name: string): Promise<string> {
    return readShippedText(this.#extension, 'dist', ...name.split('/'));
  }
}

function withFormat<T extends { readonly format: number }>(value: T, format: T['format']): T {
  if (value.format !== format) {
    throw new Error(`a compiled file of format ${value.format} where ${format} is expected`);
  }
  return value;
}
