import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { suite, test } from '../support/hostSuite';
import { eventually } from './eventually';
import { workspaceFile } from './hovers';
import { ourExtension } from './ourExtension';

const articleTabs = () =>
  vscode.window.tabGroups.all
    .flatMap((group) => group.tabs)
    .filter(
      (tab) => tab.input instanceof vscode.TabInputWebview && tab.input.viewType.endsWith('mlFieldNotes.article'),
    );
const open = (...args: readonly unknown[]) => vscode.commands.executeCommand('mlFieldNotes.openTopic', ...args);

suite('articles', () => {
  test('open by command, reuse their panel, and open beside when asked', async () => {
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    await ourExtension().activate();
    await open('adam');
    await eventually('one article', () => articleTabs().length === 1);
    assert.equal(articleTabs()[0]?.label, 'Adam');
    await open('layer-normalization', { language: 'zh-cn', heading: 'pitfalls' });
    await eventually(
      'the other topic in the same panel',
      () => articleTabs().length === 1 && articleTabs()[0]?.label === '层归一化',
    );
    await vscode.commands.executeCommand('mlFieldNotes.openTopicBeside', 'relu');
    await eventually('a second panel', () => articleTabs().length === 2);
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    await eventually('no article', () => articleTabs().length === 0);
  });

  test('a topic without an article opens as well', async () => {
    await open('cpp-polymorphism');
    await eventually('the article', () => articleTabs().length === 1);
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  });

  test('an unknown topic opens a page that says so', async () => {
    await open('no-such-topic');
    await eventually('the page', () => articleTabs().some(({ label }) => label === 'ML Field Notes'));
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  });

  test('the link of a topic is copied, and reading goes on where it was left', async () => {
    await vscode.commands.executeCommand('mlFieldNotes.copyTopicLink', 'adam');
    const link = await vscode.env.clipboard.readText();
    assert.equal(link, `${vscode.env.uriScheme}://ml-field-notes.ml-field-notes/topic/adam`);
    await open('adam');
    await eventually('the article', () => articleTabs().length === 1);
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    await vscode.commands.executeCommand('mlFieldNotes.continueReading');
    await eventually('the article again', () => articleTabs()[0]?.label === 'Adam');
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  });

  test('explain the name at the cursor', async () => {
    const document = await vscode.workspace.openTextDocument(workspaceFile('import_forms.py'));
    const editor = await vscode.window.showTextDocument(document);
    const at = document.positionAt(document.getText().indexOf('GELU()') + 1);
    editor.selection = new vscode.Selection(at, at);
    await vscode.commands.executeCommand('mlFieldNotes.explainSymbol');
    await eventually('the article on GELU', () => articleTabs().some((tab) => tab.label.includes('Gaussian')));
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  });
});
