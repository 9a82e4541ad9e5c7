import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { suite, test } from '../support/hostSuite';
import { hoverOn, hoverTextAt, workspaceFile } from './hovers';

/** Texts of import_forms.py that end in a name of PyTorch, and the official page its hover links to. */
const explained: readonly (readonly [text: string, page: string])[] = [
  ['direct = torch.nn.Dropout', 'torch.nn.Dropout'],
  ['aliased = nn.LayerNorm', 'torch.nn.LayerNorm'],
  ['again = layers.ReLU', 'torch.nn.ReLU'],
  ['renamed = LN', 'torch.nn.LayerNorm'],
  ['named = BCEWithLogitsLoss', 'torch.nn.BCEWithLogitsLoss'],
  ['functional = F.softmax', 'torch.nn.functional.softmax'],
  ['optimizer = optim.AdamW', 'torch.optim.AdamW'],
  ['loss = Loss', 'torch.nn.CrossEntropyLoss'],
  ['with torch.no_grad', 'torch.no_grad'],
  ['return GELU', 'torch.nn.GELU'],
  ['import LayerNorm as LN', 'torch.nn.LayerNorm'],
  ['norm_layer=nn.LayerNorm', 'torch.nn.LayerNorm'],
  ['self.norm = norm_layer', 'torch.nn.LayerNorm'],
  ['self.attention = nn.MultiheadAttention', 'torch.nn.MultiheadAttention'],
  ['y = self.norm', 'torch.nn.LayerNorm'],
];

const silent = ['# nn.LayerNorm', '"nn.LayerNorm', 'return nn.LayerNorm', '(F.softmax', 'def in_a_function', 'text'];

suite('hover in the sample workspace', () => {
  for (const [text, page] of explained) {
    test(`explains ${JSON.stringify(text)}`, async () => {
      const document = await vscode.workspace.openTextDocument(workspaceFile('import_forms.py'));
      const hover = await hoverOn(document, text);
      assert.ok(hover?.includes(`${page}.html`), hover ?? 'no hover');
      assert.match(hover ?? '', /data:image\/svg\+xml;base64,|torch\.no_grad|torch\.nn\.Module/);
    });
  }

  for (const text of silent) {
    test(`says nothing on ${JSON.stringify(text)}`, async () => {
      const document = await vscode.workspace.openTextDocument(workspaceFile('import_forms.py'));
      assert.equal(await hoverOn(document, text), undefined);
    });
  }

  test('explains an argument and computes the facts of a call', async () => {
    const document = await vscode.workspace.openTextDocument(workspaceFile('train_digits.py'));
    assert.match((await hoverOn(document, 'eps')) ?? '', /`eps`[\s\S]*`1e-05`/);
    assert.match((await hoverOn(document, 'nn.Conv2d')) ?? '', /144 parameters; size 224 → 224/);
  });

  test('reads a notebook as one program, magics and shell lines aside', async () => {
    const notebook = await vscode.workspace.openNotebookDocument(workspaceFile('notebook.ipynb'));
    const cell = notebook.getCells().find((candidate) => candidate.document.getText().startsWith('norm ='));
    assert.ok(cell);
    assert.match((await hoverOn(cell.document, 'nn.LayerNorm')) ?? '', /torch\.nn\.LayerNorm\.html/);
    assert.match((await hoverTextAt(cell.document, new vscode.Position(1, 1))) ?? '', /torch\.nn\.LayerNorm\.html/);
  });

  test('works in an untitled document and follows its edits', async () => {
    const document = await vscode.workspace.openTextDocument({
      language: 'python',
      content: 'from torch import nn\nnn.GELU()\n',
    });
    const editor = await vscode.window.showTextDocument(document);
    assert.match((await hoverOn(document, 'GELU')) ?? '', /torch\.nn\.GELU\.html/);
    await editor.edit((edit) => edit.insert(new vscode.Position(0, 0), 'def f(nn):\n  pass\nnn = 3\n\n'));
    await editor.edit((edit) => edit.replace(new vscode.Range(4, 0, 4, 20), '# gone'));
    assert.equal(await hoverOn(document, 'GELU'), undefined);
  });

  test('stays quiet on empty, binary and half-typed text', async () => {
    for (const content of [
      '',
      '\0\0nn.LayerNorm',
      'from torch import nn\nclass A(nn.',
      'import torch\ntorch.nn.LayerNorm((((',
      '"""nn.LayerNorm',
    ]) {
      const document = await vscode.workspace.openTextDocument({ language: 'python', content });
      for (let offset = 0; offset <= content.length; offset += 1) {
        await hoverTextAt(document, document.positionAt(offset));
      }
    }
  });

  test('answers in a file of 20,000 lines', async () => {
    const block = 'def f_{n}(x):\n    y = nn.functional.softmax(x, dim=-1)\n    return nn.LayerNorm(8)(y)\n\n';
    const body = Array.from({ length: 5000 }, (_, n) => block.replace('{n}', String(n))).join('');
    const document = await vscode.workspace.openTextDocument({
      language: 'python',
      content: `import torch.nn as nn\n${body}`,
    });
    assert.equal(document.lineCount > 20_000, true);
    const last = document.getText().lastIndexOf('LayerNorm');
    assert.match((await hoverTextAt(document, document.positionAt(last))) ?? '', /torch\.nn\.LayerNorm\.html/);
  }, 60_000);
});

suite('hover settings', () => {
  const read = async () => {
    const document = await vscode.workspace.openTextDocument(workspaceFile('import_forms.py'));
    return (await hoverOn(document, 'aliased = nn.LayerNorm')) ?? '';
  };
  const setting = async (id: string, value: unknown) =>
    vscode.workspace.getConfiguration().update(id, value, vscode.ConfigurationTarget.Global);

  test('off, compact and single parts', async () => {
    try {
      await setting('mlFieldNotes.hover.mode', 'off');
      assert.equal(await read(), '');
      await setting('mlFieldNotes.hover.mode', 'compact');
      assert.doesNotMatch(await read(), /data:image/);
      assert.match(await read(), /openTopic/);
      await setting('mlFieldNotes.hover.mode', undefined);
      await setting('mlFieldNotes.hover.trap', false);
      assert.doesNotMatch(await read(), /\$\(alert\)/);
    } finally {
      await setting('mlFieldNotes.hover.mode', undefined);
      await setting('mlFieldNotes.hover.trap', undefined);
    }
  });

  test('language of the cards', async () => {
    try {
      await setting('mlFieldNotes.language', 'zh-cn');
      assert.match(await read(), /^\*\*层归一化\*\*/);
    } finally {
      await setting('mlFieldNotes.language', undefined);
    }
  });
});
