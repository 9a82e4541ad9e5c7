import * as vscode from 'vscode';
import type { PageStrings } from '../../protocol/pageStrings';

/** The folders a page may load from: build output and hand-written styles, nothing else. */
export function pageRoots(extension: vscode.Uri): readonly vscode.Uri[] {
  return [vscode.Uri.joinPath(extension, 'dist', 'webview'), vscode.Uri.joinPath(extension, 'media')];
}

/** The empty page that the client fills: strict policy, one script, strings as escaped data. */
export function articlePage(webview: vscode.Webview, extension: vscode.Uri): string {
  const asset = (...path: string[]) => webview.asWebviewUri(vscode.Uri.joinPath(extension, ...path)).toString();
  const nonce = globalThis.crypto.randomUUID().replaceAll('-', '');
  // KaTeX and the figures place their parts with style attributes.
  const policy = [
    "default-src 'none'",
    `style-src ${webview.cspSource} 'unsafe-inline'`,
    `font-src ${webview.cspSource}`,
    `img-src ${webview.cspSource} data:`,
    `script-src 'nonce-${nonce}'`,
  ].join('; ');
  return `<!DOCTYPE html>
<html lang="${escaped(vscode.env.language)}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${escaped(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="${escaped(asset('dist', 'webview', 'katex', 'katex.min.css'))}">
<link rel="stylesheet" href="${escaped(asset('media', 'article.css'))}">
<title>ML Field Notes</title>
</head>
<body data-strings="${escaped(JSON.stringify(pageStrings()))}">
<script nonce="${nonce}" src="${escaped(asset('dist', 'webview', 'article.js'))}"></script>
</body>
</html>`;
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
