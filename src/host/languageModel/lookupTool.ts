import * as vscode from 'vscode';
import { languageModelTools } from '../../contributions';
import { isLanguage, type Language } from '../../core/library/language';
import type { NoteLibrary } from '../../core/library/noteLibrary';
import type { Topic } from '../../core/library/topic';
import { topicDigest } from '../../core/lookup/topicDigest';
import type { NoteFiles } from '../noteFiles';
import type { TopicFinder } from '../search/topicFinder';
import type { Settings } from '../settings';
import { topicUri } from '../topicLinks';

export interface LookupInput {
  readonly query: string;
  readonly language?: string;
}

type Tokenization = vscode.LanguageModelToolTokenizationOptions;

/** Used where a caller names no budget: a digest with its formula, traps and sources. */
const usualBudget = 2000;

/** Lets assistants quote the notes instead of guessing: a topic's reviewed text within what the caller has room for. */
export class LookupTool implements vscode.LanguageModelTool<LookupInput> {
  readonly #library: NoteLibrary;
  readonly #files: NoteFiles;
  readonly #finder: TopicFinder;
  readonly #settings: Settings;

  constructor(library: NoteLibrary, files: NoteFiles, finder: TopicFinder, settings: Settings) {
    this.#library = library;
    this.#files = files;
    this.#finder = finder;
    this.#settings = settings;
  }

  prepareInvocation({ input }: vscode.LanguageModelToolInvocationPrepareOptions<LookupInput>) {
    return { invocationMessage: vscode.l10n.t('Looking up “{0}” in ML Field Notes', input.query) };
  }

  async invoke(
    { input, tokenizationOptions }: vscode.LanguageModelToolInvocationOptions<LookupInput>,
    token: vscode.CancellationToken,
  ): Promise<vscode.LanguageModelToolResult> {
    const language = isLanguage(input.language) ? input.language : this.#settings.language;
    const [best, ...others] = await this.#topics(input.query);
    const parts = best
      ? await this.#digest(best, language, others)
      : [`ML Field Notes has no topic on “${input.query}”.`];
    const text = await fitting(parts, token, tokenizationOptions);
    return new vscode.LanguageModelToolResult([new vscode.LanguageModelTextPart(text)]);
  }

  /** The topic meant and a few others; a topic's id means that topic. */
  async #topics(query: string): Promise<readonly Topic[]> {
    await this.#library.ready;
    const named = this.#library.topic(query.trim());
    return named ? [named] : (await this.#finder.find(query)).slice(0, 4).map(({ topic }) => topic);
  }

  async #digest(topic: Topic, language: Language, others: readonly Topic[]): Promise<readonly string[]> {
    const [article, sources] = await Promise.all([this.#files.article(topic, language), this.#files.sourcesOf(topic)]);
    return topicDigest({ topic, language, article, sources, link: topicUri(topic.id), others });
  }
}

/** Registers the tool where this VS Code has language models at all. */
export function registerLookupTool(tool: LookupTool): vscode.Disposable {
  const { lm } = vscode as { readonly lm?: Partial<typeof vscode.lm> };
  return lm?.registerTool?.(languageModelTools.lookupTopic, tool) ?? new vscode.Disposable(() => undefined);
}

/** The first parts that fit; a later one that is short enough may still come in. The first is kept in any case. */
async function fitting(parts: readonly string[], token: vscode.CancellationToken, tokenization?: Tokenization) {
  let room = tokenization?.tokenBudget ?? usualBudget;
  let kept = '';
  for (const part of parts) {
    const added = kept === '' ? part : `\n\n${part}`;
    const size = tokenization ? await tokenization.countTokens(added, token) : roughTokens(added);
    if (size <= room || kept === '') {
      kept += added;
      room -= size;
    }
  }
  return kept;
}

/** A token is about four letters, or one Chinese character. */
function roughTokens(text: string): number {
  const han = text.match(/\p{Script=Han}/gu)?.length ?? 0;
  return han + Math.ceil((text.length - han) / 4);
}
