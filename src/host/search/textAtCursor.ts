import * as vscode from 'vscode';

/** Longer selections are code or prose, nothing to look up. */
const longest = 60;

/** What the reader may want to look up: the selection, or the name at the cursor with its modules. */
export function textAtCursor(): string {
  const editor = vscode.window.activeTextEditor;
  if (!editor) {
    return '';
  }
  const { document, selection } = editor;
  const range = selection.isEmpty ? document.getWordRangeAtPosition(selection.active, /[\w.]+/) : selection;
  const text = range ? document.getText(range).trim() : '';
  return text.length > longest || text.includes('\n') ? '' : text;
}
