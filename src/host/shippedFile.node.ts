import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type * as vscode from 'vscode';

/**
 * A file of the extension, read straight from the disk. `vscode.workspace.fs` asks the window for it, and waits there behind
 * all that the window is doing: 20 to 100 ms while a panel opens.
 */
export async function readShippedFile(extension: vscode.Uri, ...path: readonly string[]): Promise<Uint8Array> {
  return readFile(join(extension.fsPath, ...path));
}

export async function readShippedText(extension: vscode.Uri, ...path: readonly string[]): Promise<string> {
  return readFile(join(extension.fsPath, ...path), 'utf8');
}
