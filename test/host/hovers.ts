import * as vscode from 'vscode';

/** The text of our hover at a place of a document; undefined where there is none. */
export async function hoverTextAt(
  document: vscode.TextDocument,
  position: vscode.Position,
): Promise<string | undefined> {
  const hovers = await vscode.commands.executeCommand<vscode.Hover[]>(
    'vscode.executeHoverProvider',
    document.uri,
    position,
  );
  const texts = hovers.flatMap((hover) =>
    hover.contents.map((content) => (content instanceof vscode.MarkdownString ? content.value : '')),
  );
  return texts.find((text) => text.includes('mlFieldNotes.openTopic') || text.includes('docs.pytorch.org'));
}

/** The hover on the last character of the first occurrence of a text. */
export async function hoverOn(document: vscode.TextDocument, text: string): Promise<string | undefined> {
  const at = document.getText().indexOf(text);
  if (at < 0) {
    throw new Error(`${document.uri.path} does not hold ${text}`);
  }
  return hoverTextAt(document, document.positionAt(at + text.length - 1));
}

export function workspaceFile(name: string): vscode.Uri {
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
  if (!folder) {
    throw new Error('no workspace folder is open');
  }
  return vscode.Uri.joinPath(folder, name);
}
