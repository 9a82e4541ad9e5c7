import * as vscode from 'vscode';
import { reportFigures, test } from '../../support/hostSuite';
import { alternate, timed } from '../figures';

const code = 'import torch\nfrom torch import nn\n\nnorm = nn.LayerNorm(128)\n';
const onLayerNorm = new vscode.Position(3, 12);

/** A hover there and back, beside one from a provider that answers a fixed word in a language of its own. */
test('hover', async () => {
  const python = await vscode.workspace.openTextDocument({ language: 'python', content: code });
  const plain = await vscode.workspace.openTextDocument({ language: 'plaintext', content: code });
  const fixed = vscode.languages.registerHoverProvider(
    { language: 'plaintext' },
    { provideHover: () => new vscode.Hover('x') },
  );
  await vscode.extensions.getExtension('ml-field-notes.ml-field-notes')?.activate();
  const first = await timed(() => hover(python));
  const firstOfFloor = await timed(() => hover(plain));
  reportFigures('first hover', { ours: [first], floor: [firstOfFloor] });
  const measure = (document: vscode.TextDocument) => () => timed(() => hover(document));
  reportFigures('hover', await alternate(150, measure(python), measure(plain), 10));
  fixed.dispose();
}, 120_000);

async function hover(document: vscode.TextDocument): Promise<void> {
  const hovers = await vscode.commands.executeCommand<readonly vscode.Hover[]>(
    'vscode.executeHoverProvider',
    document.uri,
    onLayerNorm,
  );
  if (hovers.length !== 1) throw new Error(`${hovers.length} hovers in a ${document.languageId} document`);
}
