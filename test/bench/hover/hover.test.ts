import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { reportFigures, test } from '../../support/hostSuite';
import { alternate, type Comparison, timed } from '../figures';
import { hoverSizes } from './sizes';

/** Real code: the checks of the notes, one after the other, which the main process hands over in a setting. */
const code = vscode.workspace.getConfiguration('bench').get<string>('code', '');
const folder = mkdtempSync(join(tmpdir(), 'bench-hover-'));
const fixed = vscode.languages.registerHoverProvider(
  { language: 'plaintext' },
  { provideHover: () => new vscode.Hover('x') },
);
let files = 0;

for (const { lines, colds, warms, edits } of hoverSizes) {
  test(`hover ${lines} lines`, async () => {
    await vscode.extensions.getExtension('ml-field-notes.ml-field-notes')?.activate();
    // What is loaded once for all files belongs to the first hover of a session, which has a row of its own.
    await hover(await documentOf('py', 50));
    await hover(await documentOf('txt', 50));
    const [python, plain] = [await documentOf('py', lines), await documentOf('txt', lines)];
    reportFigures(`hover ${lines} lines, cold`, await coldHovers(lines, colds));
    const warm = (document: vscode.TextDocument) => () => timed(() => hover(document));
    await hover(python);
    reportFigures(`hover ${lines} lines, warm`, await alternate(warms, warm(python), warm(plain), 5));
    const edited = (document: vscode.TextDocument) => async () => {
      await edit(document);
      return timed(() => hover(document));
    };
    reportFigures(`hover ${lines} lines, after an edit`, await alternate(edits, edited(python), edited(plain), 2));
  }, 300_000);
}

/** The first hover in each of several files; the floor takes its share of what the window does with a new file. */
async function coldHovers(lines: number, count: number): Promise<Comparison> {
  const values: { ours: number[]; floor: number[] } = { ours: [], floor: [] };
  for (let round = 0; round < count; round++) {
    const [python, plain] = [await documentOf('py', lines), await documentOf('txt', lines)];
    values.ours.push(await timed(() => hover(python)));
    values.floor.push(await timed(() => hover(plain)));
  }
  return values;
}

/** A file of about so many lines of real code, whole definitions, whose middle names a layer. */
async function documentOf(extension: 'py' | 'txt', lines: number): Promise<vscode.TextDocument> {
  const half = definitions(Math.floor(lines / 2));
  const text = [...half, 'from torch import nn', 'norm = nn.LayerNorm(128)', ...half].join('\n');
  files += 1;
  const file = join(folder, `file${files}.${extension}`);
  writeFileSync(file, text);
  return vscode.workspace.openTextDocument(vscode.Uri.file(file));
}

/** Whole definitions and statements of the module: a file cut anywhere would have a mistake, and no tree to go on from. */
function definitions(lines: number): readonly string[] {
  const taken: string[] = [];
  while (taken.length < lines) {
    for (const part of code.split(/\n\n\n(?=\S)/)) {
      const length = part.split('\n').length + 2;
      if (taken.length + length <= lines) {
        taken.push(...part.split('\n'), '', '');
      }
    }
    taken.push('pass');
  }
  return taken;
}

async function edit(document: vscode.TextDocument): Promise<void> {
  const change = new vscode.WorkspaceEdit();
  change.insert(document.uri, new vscode.Position(Math.floor(document.lineCount / 4), 0), 'x = 1\n');
  await vscode.workspace.applyEdit(change);
}

async function hover(document: vscode.TextDocument): Promise<void> {
  const at = document.positionAt(document.getText().lastIndexOf('nn.LayerNorm(128)') + 5);
  const hovers = await vscode.commands.executeCommand<readonly vscode.Hover[]>(
    'vscode.executeHoverProvider',
    document.uri,
    at,
  );
  if (hovers.length !== 1) throw new Error(`${hovers.length} hovers in ${document.fileName}, line ${at.line}`);
}

test('the provider of the fixed word goes', () => fixed.dispose());
