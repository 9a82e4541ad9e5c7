import * as vscode from 'vscode';
import { lazy } from '../../core/lazy';
import type { Language } from '../../core/library/language';
import type { NoteLibrary } from '../../core/library/noteLibrary';
import type { ArticleView } from '../../protocol/articleMessages';
import type { Logger } from '../logger';
import { readShippedFile } from '../shippedFile';
import type { Articles } from './articles';

/** Calculators are seldom exported: what they start with is computed in a chunk of its own. */
const loadStaticCalculators = lazy(() => import('../../core/calculator/staticCalculators'));

/** Writes an article as one HTML file that needs nothing else: styles and fonts are in it, links lead to the web. */
export class ArticleExport {
  readonly #extension: vscode.Uri;
  readonly #library: NoteLibrary;
  readonly #articles: Articles;
  readonly #logger: Logger;

  constructor(extension: vscode.Uri, library: NoteLibrary, articles: Articles, logger: Logger) {
    this.#extension = extension;
    this.#library = library;
    this.#articles = articles;
    this.#logger = logger;
  }

  async save(id: string, language: Language): Promise<void> {
    const topic = this.#library.topic(id);
    const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
    const target =
      topic &&
      (await vscode.window.showSaveDialog({
        filters: { HTML: ['html'] },
        ...(folder ? { defaultUri: vscode.Uri.joinPath(folder, `${id}.${language}.html`) } : {}),
      }));
    if (!topic || !target) {
      return;
    }
    try {
      const page = await this.page(await this.#articles.view(topic, language));
      await vscode.workspace.fs.writeFile(target, new TextEncoder().encode(page));
    } catch (error) {
      const message = vscode.l10n.t('The web page could not be written to {0}. Choose another folder.', target.fsPath);
      this.#logger.tell(message, error);
      return;
    }
    const open = vscode.l10n.t('Open');
    if ((await vscode.window.showInformationMessage(vscode.l10n.t('Saved as {0}.', target.fsPath), open)) === open) {
      await vscode.env.openExternal(target);
    }
  }

  /** The page of an article that stands alone; it follows the light or dark theme of the system it is read on. */
  async page(article: ArticleView): Promise<string> {
    const styles = (await this.#styles()) + (hasCalculator(article) ? await this.#calculatorStyles() : '');
    const language = article.language === 'en' ? 'en' : 'zh-CN';
    // Links between topics lead nowhere outside VS Code.
    const html = (await this.#withoutCalculators(article)).replace(
      /<a href="#" data-topic="[^"]*"(?: data-anchor="[^"]*")?>(.*?)<\/a>/gs,
      '<span>$1</span>',
    );
    return `<!DOCTYPE html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(article.title)} · ML Field Notes</title>
<style>${styles}\n${standaloneStyles}</style>
</head>
<body>
<div id="page"><div id="column"><main id="article" lang="${language}">${html}</main></div></div>
</body>
</html>
`;
  }

  /** A page without scripts shows what each calculator starts with and finds. */
  async #withoutCalculators(article: ArticleView): Promise<string> {
    return hasCalculator(article)
      ? (await loadStaticCalculators()).withStaticCalculators(article.html, article.language)
      : article.html;
  }

  async #calculatorStyles(): Promise<string> {
    return new TextDecoder().decode(await this.#file('calculators.css'));
  }

  /** The page's style sheet with all fonts inside. */
  async #styles(): Promise<string> {
    const css = new TextDecoder().decode(await this.#file('article.css'));
    const names = [...new Set([...css.matchAll(/url\(fonts\/([\w-]+\.woff2)\)/g)].map((match) => match[1] ?? ''))];
    const fonts = await Promise.all(
      names.map(async (name) => {
        const bytes = await this.#file('fonts', name);
        return [name, `data:font/woff2;base64,${base64(bytes)}`] as const;
      }),
    );
    return fonts.reduce((text, [name, data]) => text.replaceAll(`url(fonts/${name})`, `url(${data})`), css);
  }

  async #file(...path: readonly string[]): Promise<Uint8Array> {
    return readShippedFile(this.#extension, 'dist', 'webview', ...path);
  }
}

/** What VS Code's theme says in the panel, a page on its own must say itself. */
const standaloneStyles = `
:root { color-scheme: light dark; --vscode-foreground: CanvasText; --vscode-editor-background: Canvas;
  --vscode-descriptionForeground: color-mix(in srgb, CanvasText 65%, Canvas); --vscode-textLink-foreground: LinkText;
  --vscode-font-family: system-ui, sans-serif; --vscode-editor-font-family: ui-monospace, monospace; --vscode-font-size: 16px;
  --vscode-badge-background: color-mix(in srgb, CanvasText 15%, Canvas); --vscode-badge-foreground: CanvasText; }
@media print { details::details-content { content-visibility: visible; } }
`;

function hasCalculator(article: ArticleView): boolean {
  return article.html.includes('data-calculator=');
}

function base64(bytes: Uint8Array): string {
  let text = '';
  for (let start = 0; start < bytes.length; start += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(start, start + 0x8000));
  }
  return btoa(text);
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
