import * as vscode from 'vscode';
import { lazy } from '../../core/lazy';
import type { Showing } from '../../protocol/articleMessages';
import type { PageStrings } from '../../protocol/pageStrings';
import { readShippedText } from '../shippedFile';

/**
 * Writes the page of a panel: strict policy, and in it everything that its first picture needs. A file that a page asks for
 * goes through the window, the connection and the extension host; only fonts that are seldom needed come that way.
 */
export class ArticlePage {
  readonly #extension: vscode.Uri;

  constructor(extension: vscode.Uri) {
    this.#extension = extension;
  }

  /** The only folder that a page may load from. */
  get roots(): readonly vscode.Uri[] {
    return [vscode.Uri.joinPath(this.#extension, 'dist', 'webview')];
  }

  readonly #style = lazy(() => this.#text('article.css'));
  readonly #script = lazy(() => this.#text('article.js'));

  /** Starts reading the files, so that they are there when the first page is written. */
  prepare(): void {
    // A failure shows itself when the page is written.
    Promise.all([this.#style(), this.#script()]).catch(() => undefined);
  }

  /** A page that shows an article from the start, or waits for one. */
  async write(webview: vscode.Webview, showing: Showing | undefined): Promise<string> {
    const [style, script] = await Promise.all([this.#style(), this.#script()]);
    const nonce = globalThis.crypto.randomUUID().replaceAll('-', '');
    const address = (name: string) =>
      webview.asWebviewUri(vscode.Uri.joinPath(this.#extension, 'dist', 'webview', name)).toString();
    // KaTeX and the figures place their parts with style attributes.
    const policy = [
      "default-src 'none'",
      "style-src 'unsafe-inline'",
      `font-src ${webview.cspSource} data:`,
      'img-src data:',
      `script-src 'nonce-${nonce}'`,
    ].join('; ');
    return `<!DOCTYPE html>
<html lang="${escaped(vscode.env.language)}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${escaped(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ML Field Notes</title>
<style>${style.replaceAll('url(fonts/', `url(${address('fonts')}/`)}</style>
</head>
<body data-strings="${escaped(JSON.stringify(pageStrings()))}" data-calculators="${escaped(address('calculators.js'))}">
<script type="application/json" id="showing">${JSON.stringify(showing ?? null).replaceAll('<', '\\u003c')}</script>
<script nonce="${nonce}">${script}</script>
</body>
</html>`;
  }

  async #text(name: string): Promise<string> {
    return readShippedText(this.#extension, 'dist', 'webview', name);
  }
}

function pageStrings(): PageStrings {
  return {
    back: vscode.l10n.t('Back'),
    forward: vscode.l10n.t('Forward'),
    switchLanguage: vscode.l10n.t('Show in the other language'),
    search: vscode.l10n.t('Search Topics'),
    contents: vscode.l10n.t('Contents'),
    previous: vscode.l10n.t('Previous topic'),
    next: vscode.l10n.t('Next topic'),
    copyCode: vscode.l10n.t('Copy code'),
    insertCode: vscode.l10n.t('Insert at the cursor of the editor'),
    copyFormula: vscode.l10n.t('Copy the formula as LaTeX'),
    both: vscode.l10n.t('Show both languages side by side'),
    save: vscode.l10n.t('Save this topic'),
    unsave: vscode.l10n.t('Remove from the saved topics'),
    markRead: vscode.l10n.t('Mark as read'),
    markUnread: vscode.l10n.t('Mark as not read'),
    export: vscode.l10n.t('Save as a web page'),
    find: vscode.l10n.t('Find in the article'),
    findNext: vscode.l10n.t('Next match'),
    findPrevious: vscode.l10n.t('Previous match'),
    noResults: vscode.l10n.t('No results'),
    close: vscode.l10n.t('Close'),
    copied: vscode.l10n.t('Copied'),
    loading: vscode.l10n.t('Loading…'),
    opensOutside: vscode.l10n.t('opens outside VS Code'),
  };
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
