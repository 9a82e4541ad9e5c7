import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { suite, test } from '../support/hostSuite';
import { eventually } from './eventually';
import { ourExtension } from './ourExtension';

suite('activation', () => {
  test('opening a Python file activates the extension', async () => {
    await vscode.workspace.openTextDocument({ language: 'python', content: 'from torch import nn\n' });
    await eventually('the extension is active', () => ourExtension().isActive);
  });

  test('every command of package.json is registered', async () => {
    await ourExtension().activate();
    const registered = new Set(await vscode.commands.getCommands(true));
    const contributed = contributedCommands();
    assert.ok(contributed.length > 0);
    assert.deepEqual(
      contributed.filter((command) => !registered.has(command)),
      [],
    );
  });
});

function contributedCommands(): readonly string[] {
  const manifest = ourExtension().packageJSON as {
    readonly contributes?: { readonly commands?: readonly { readonly command: string }[] };
  };
  return (manifest.contributes?.commands ?? []).map((each) => each.command);
}
