import * as vscode from 'vscode';

/** A file of the extension, in hosts without a file system of their own; on Node the build puts `shippedFile.node.ts` here. */
export async function readShippedFile(extension: vscode.Uri, ...path: readonly string[]): Promise<Uint8Array> {
  return vscode.workspace.fs.readFile(vscode.Uri.joinPath(extension, ...path));
}

export async function readShippedText(extension: vscode.Uri, ...path: readonly string[]): Promise<string> {
  return new TextDecoder().decode(await readShippedFile(extension, ...path));
}
