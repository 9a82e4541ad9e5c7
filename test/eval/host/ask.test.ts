import { createReadStream, createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as vscode from 'vscode';
import type { ExtensionApi } from '../../../src/extension';
import { ourExtension } from '../../host/ourExtension';
import { reportFigures, suite, test } from '../../support/hostSuite';
import { type Answer, answered } from '../answer';
import type { FileQuestions } from '../askInHost';

/** Hovers asked for at once: the window answers one while the host prepares the next. */
const together = 32;

suite('hover evaluation', () => {
  test('every position is asked', askAll, 6 * 3_600_000);
});

/** Reads `questions.jsonl` of the workspace folder and writes `answers.jsonl` beside it, a line of answers for a line of questions. */
async function askAll(): Promise<void> {
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath;
  if (folder === undefined) throw new Error('there is no workspace folder');
  const api = (await ourExtension().activate()) as ExtensionApi;
  const answers = createWriteStream(join(folder, 'answers.jsonl'));
  const start = Date.now();
  let asked = 0;
  for await (const line of createInterface({ input: createReadStream(join(folder, 'questions.jsonl')) })) {
    const questions = JSON.parse(line) as FileQuestions;
    answers.write(`${JSON.stringify(await askFile(api, questions))}\n`);
    asked += questions.positions.length;
  }
  await new Promise((done) => answers.end(done));
  reportFigures('hover evaluation', { asked, seconds: (Date.now() - start) / 1000 });
}

async function askFile(api: ExtensionApi, { file, positions }: FileQuestions): Promise<readonly (Answer | null)[]> {
  const document = await vscode.workspace.openTextDocument(vscode.Uri.file(file));
  if (document.languageId !== 'python') throw new Error(`${file} is not opened as Python`);
  const answers: (Answer | null)[] = [];
  for (let at = 0; at < positions.length; at += together) {
    const some = positions.slice(at, at + together).map(([line, column]) => new vscode.Position(line, column));
    answers.push(...(await Promise.all(some.map((position) => ask(api, document, position)))));
  }
  return answers;
}

/** The hover as VS Code would show it, and the meaning behind it. */
async function ask(api: ExtensionApi, document: vscode.TextDocument, at: vscode.Position): Promise<Answer | null> {
  const token = new vscode.CancellationTokenSource().token;
  const [hovers, meaning] = await Promise.all([
    vscode.commands.executeCommand<readonly vscode.Hover[]>('vscode.executeHoverProvider', document.uri, at),
    api.meaningAt(document, at, token),
  ]);
  if (hovers.length > 0 && !meaning)
    throw new Error(`a hover without a meaning at ${document.uri} ${at.line}:${at.character}`);
  return meaning ? { meaning: answered(meaning), shown: hovers.length > 0 } : null;
}
