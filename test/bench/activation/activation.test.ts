import * as vscode from 'vscode';
import { reportFigures, test } from '../../support/hostSuite';
import { type Comparison, timed } from '../figures';

/** One round in a fresh host: an extension activates only once in it. The order changes from round to round. */
test('activation', async () => {
  const round = vscode.workspace.getConfiguration('bench').get<number>('round', 0);
  await activate('ml-field-notes-bench.floor-warm-up');
  const ours = () => activate('ml-field-notes.ml-field-notes');
  const floor = () => activate('ml-field-notes-bench.floor-empty');
  const [first, second] = round % 2 === 0 ? [await ours(), await floor()] : [await floor(), await ours()];
  const figures: Comparison = round % 2 === 0 ? { ours: [first], floor: [second] } : { ours: [second], floor: [first] };
  reportFigures('activation', figures);
});

async function activate(id: string): Promise<number> {
  const extension = vscode.extensions.getExtension(id);
  if (extension === undefined || extension.isActive) throw new Error(`${id} is missing or already active`);
  return timed(() => extension.activate());
}
