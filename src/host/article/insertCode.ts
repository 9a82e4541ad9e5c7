import * as vscode from 'vscode';

/** Puts a code block of an article at the cursor of the editor that is open, as one step of undo. */
export async function insertCode(code: string): Promise<void> {
  const { activeTextEditor, visibleTextEditors } = vscode.window;
  const editor =
    activeTextEditor ??
    visibleTextEditors.find(({ document }) => document.languageId === 'python') ??
    visibleTextEditors[0];
  if (!editor) {
    void vscode.window.showInformationMessage(vscode.l10n.t('Open a file first, then insert the code.'));
    return;
  }
  await vscode.window.showTextDocument(editor.document, editor.viewColumn);
  await editor.edit((edit) => edit.replace(editor.selection, code));
}
