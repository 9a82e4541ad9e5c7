import * as vscode from 'vscode';
import { commands } from '../../contributions';
import type { FormulaFile } from '../../core/hover/formulaPicture';
import { formulaImage } from '../../core/hover/formulaPicture';
import type { HoverPart } from '../../core/hover/hoverContent';
import type { Language } from '../../core/library/language';

/** Words that stand in a card, in the card's language, not in that of VS Code. */
const words = {
  en: { shapes: 'Shape', argument: 'of', default: 'Default', article: 'Article', docs: 'Official docs', other: '中文' },
  'zh-cn': { shapes: '形状', argument: '属于', default: '默认值', article: '文章', docs: '官方文档', other: 'English' },
} as const;

/** What every hover text may do: run our one command, show icons. */
function markdown(value: string): vscode.MarkdownString {
  const made = new vscode.MarkdownString(value, true);
  made.isTrusted = { enabledCommands: [commands.openTopic] };
  return made;
}

/** Size of a formula's letters in a hover, in CSS pixels. */
const formulaEm = 15;

/**
 * Turns a card into a hover text. What a glance needs comes first: VS Code cuts a hover off at about 250 pixels, so short lines share a
 * paragraph, and the formula as plain text, which screen readers read in place of the picture, stands last.
 */
export function hoverMarkdown(
  parts: readonly HoverPart[],
  language: Language,
  formulas: FormulaFile,
  theme: vscode.ColorThemeKind,
): vscode.MarkdownString {
  let text = '';
  let before: HoverPart['kind'] | undefined;
  for (const part of parts) {
    const gap = before === undefined ? '' : isLine(part.kind) && isLine(before) ? '  \n' : '\n\n';
    text += gap + paragraph(part, language, formulas, theme);
    before = part.kind;
  }
  const readings = parts.flatMap((part) => (part.kind === 'formula' ? [`\n\n${code(part.text)}`] : []));
  return markdown(text + readings.join(''));
}

/** Parts that are a line of a list rather than a paragraph. */
function isLine(kind: HoverPart['kind']): boolean {
  return kind === 'shapes' || kind === 'facts' || kind === 'trap';
}

function paragraph(part: HoverPart, language: Language, formulas: FormulaFile, theme: vscode.ColorThemeKind): string {
  const named = words[language];
  switch (part.kind) {
    case 'headline':
      return `**${escaped(part.name)}**${part.otherName && ` ${escaped(part.otherName)}`} — ${prose(part.prose)}`;
    case 'argument':
      return [
        `**\`${part.name}\`** ${named.argument} ${escaped(part.of)} — ${prose(part.prose)}`,
        ...(part.default === undefined ? [] : [`${named.default}: \`${part.default}\``]),
      ].join('\n\n');
    case 'deprecated':
      return `$(warning) ${prose(part.prose)}`;
    case 'note':
      return `$(info) ${prose(part.prose)}`;
    case 'formula':
      return formula(part.tex, part.text, formulas, theme);
    case 'shapes':
      return `${named.shapes}: ${code(part.shapes)}`;
    case 'facts':
      return `$(symbol-numeric) ${prose(part.prose)}`;
    case 'trap':
      return `$(alert) ${prose(part.prose)}`;
    case 'links':
      return linkLine(part, language);
  }
}

/** The picture in the theme's colour; its reading follows at the end of the hover. */
function formula(tex: string, text: string, file: FormulaFile, theme: vscode.ColorThemeKind): string {
  const image = formulaImage(file, tex, colourOf(theme), formulaEm);
  return image
    ? `![${escaped(text)}](data:image/svg+xml;base64,${btoa(image.svg)}|width=${image.width},height=${image.height})`
    : '';
}

/** The hover's text colour for each of the four kinds of theme; an image cannot read the theme's own. */
function colourOf(theme: vscode.ColorThemeKind): string {
  switch (theme) {
    case vscode.ColorThemeKind.Light:
      return '#1f1f1f';
    case vscode.ColorThemeKind.HighContrastLight:
      return '#000000';
    case vscode.ColorThemeKind.HighContrast:
      return '#ffffff';
    default:
      return '#d6d6d6';
  }
}

function linkLine(part: HoverPart & { readonly kind: 'links' }, language: Language): string {
  const named = words[language];
  const other: Language = language === 'en' ? 'zh-cn' : 'en';
  const open = (shown: Language) =>
    `command:${commands.openTopic}?${encodeURIComponent(JSON.stringify([part.topic, { language: shown }]))}`;
  return [
    ...(part.topic === undefined ? [] : [`[$(book) ${named.article}](${open(language)})`]),
    ...(part.docs === undefined ? [] : [`[${named.docs}](${part.docs})`]),
    ...(part.topic === undefined ? [] : [`[${named.other}](${open(other)})`]),
  ].join(' · ');
}

/** Our prose has inline code in backticks; everything else that Markdown would take for a mark is meant as it is. */
function prose(text: string): string {
  return text
    .split(/(`[^`]*`)/)
    .map((piece) => (piece.startsWith('`') ? piece : escaped(piece)))
    .join('');
}

function escaped(text: string): string {
  return text.replace(/[\\`*_{}[\]()#+!<>|~$-]/g, '\\$&').replace(/\\-/g, '-');
}

function code(text: string): string {
  return text.includes('`') ? `\`\` ${text} \`\`` : `\`${text}\``;
}
