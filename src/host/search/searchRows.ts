import * as vscode from 'vscode';
import { docsLink } from '../../core/library/docsLink';
import type { Language } from '../../core/library/language';
import type { NoteLibrary } from '../../core/library/noteLibrary';
import type { Topic } from '../../core/library/topic';
import type { KeyKind } from '../../core/search/searchIndex';
import type { PassageResult } from '../../core/search/textSearch';
import type { SearchResult } from '../../core/search/topicSearch';

/** Where a row leads. */
export interface SearchTarget {
  readonly topic: string;
  readonly anchor?: string | undefined;
  /** Text to mark in the article. */
  readonly find?: string | undefined;
}

export interface SearchRow extends vscode.QuickPickItem {
  readonly target?: SearchTarget;
  /** What is put into the box instead where the row leads nowhere else. */
  readonly query?: string;
}

/** What the buttons at the end of a row do; VS Code hands back the button that was clicked. */
export type RowAction = { readonly kind: 'beside' | 'copyLink' } | { readonly kind: 'docs'; readonly url: string };

export interface RowButton extends vscode.QuickInputButton {
  readonly action: RowAction;
}

/** Reasons that say nothing a reader does not see in the row already, or cannot read. */
const silentReasons: ReadonlySet<KeyKind> = new Set(['title', 'titles', 'part', 'pinyin', 'category']);

export function topicRow(topic: Topic, language: Language, library: NoteLibrary, result?: SearchResult): SearchRow {
  const other: Language = language === 'en' ? 'zh-cn' : 'en';
  const reason = result && !silentReasons.has(result.reason.kind) ? result.reason.shown : undefined;
  return {
    target: { topic: topic.id },
    label: topic.title[language],
    description: [topic.title[other], reason].filter((part) => part !== undefined).join(' · '),
    detail: pathOf(topic, language, library),
    alwaysShow: true,
    buttons: [...buttons(), ...docsButton(topic, result)],
  };
}

export function passageRow(result: PassageResult, language: Language): SearchRow {
  const { topic, anchor, heading, excerpt, found } = result;
  return {
    target: { topic: topic.id, anchor, find: found },
    label: topic.title[language],
    description: heading,
    detail: excerpt,
    alwaysShow: true,
    buttons: buttons(),
  };
}

/** Leads from the topics that a text finds to the passages that hold it. */
export function textModeRow(query: string): SearchRow {
  return {
    query: `?${query}`,
    label: `$(search) ${vscode.l10n.t('Search the text of the articles for “{0}”', query)}`,
    alwaysShow: true,
  };
}

/** A heading over rows; nothing where there are none. */
export function group(label: string, rows: readonly SearchRow[]): readonly SearchRow[] {
  return rows.length === 0 ? [] : [{ label, kind: vscode.QuickPickItemKind.Separator }, ...rows];
}

function pathOf(topic: Topic, language: Language, library: NoteLibrary): string {
  return library
    .pathOf(topic)
    .map((category) => category.title[language])
    .join(' › ');
}

function buttons(): RowButton[] {
  return [
    button('split-horizontal', vscode.l10n.t('Open to the Side'), { kind: 'beside' }),
    button('link', vscode.l10n.t('Copy Link to Topic'), { kind: 'copyLink' }),
  ];
}

/** The official page of the symbol that was typed, or else of the topic's first. */
function docsButton(topic: Topic, result: SearchResult | undefined): RowButton[] {
  const symbols = [result?.reason.shown ?? '', ...topic.symbols];
  const url = symbols.map(docsLink).find((link) => link !== undefined);
  return url === undefined
    ? []
    : [button('link-external', vscode.l10n.t('Open the Official Documentation'), { kind: 'docs', url })];
}

function button(icon: string, tooltip: string, action: RowAction): RowButton {
  return { iconPath: new vscode.ThemeIcon(icon), tooltip, action };
}
