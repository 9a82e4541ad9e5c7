import * as vscode from 'vscode';

/** The extension under test, as VS Code sees it. */
export function ourExtension(): vscode.Extension<unknown> {
  const extension = vscode.extensions.getExtension('ml-field-notes.ml-field-notes');
  if (extension === undefined) throw new Error('VS Code did not load ml-field-notes.ml-field-notes');
  return extension;
}
