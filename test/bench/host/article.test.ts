import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { reportFigures, test } from '../../support/hostSuite';
import { alternate } from '../figures';
import { now, untilPainted } from './paintLog';

const topics = ['layer-normalization', 'binary-cross-entropy', 'batch-normalization', 'cross-entropy-loss'] as const;

test('new panel', async () => {
  const open = (round: number) => openOurs(topicOf(round));
  const first = await open(0);
  reportFigures('first article', { ours: [first], floor: [await openTrivial(0)] });
  reportFigures('new panel', await alternate(14, open, openTrivial, 1));
}, 180_000);

test('longest article', async () => {
  const longest = mostFormulas();
  reportFigures('longest article', await alternate(10, () => openOurs(longest), openTrivial, 1));
}, 180_000);

test('topic swap', async () => {
  await untilPainted(topicOf(0), () => open(topicOf(0)));
  const trivial = await swappingPanel();
  const ready: number[] = [];
  const swapOurs = async (round: number) => {
    await settled();
    const topic = topicOf(round + 1);
    const { start, painted } = await untilPainted(topic, () => open(topic));
    return painted - start;
  };
  const swapTrivial = async (round: number) => {
    await settled();
    const topic = `trivial-${round}`;
    const { start, painted } = await untilPainted(topic, () => trivial.webview.postMessage(topic));
    return painted - start;
  };
  const swaps = await alternate(20, swapOurs, swapTrivial, 2);
  reportFigures('topic swap beside a trivial swap', swaps);
  for (let round = 0; round < 10; round++) {
    ready.push(await openTrivial(round));
  }
  reportFigures('topic swap', { ours: swaps.ours, floor: ready });
  await vscode.commands.executeCommand('workbench.action.closeAllEditors');
}, 180_000);

/** A reader does not go on before the article is there; what follows its opening must not be counted with the next one. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 300));
}

function topicOf(round: number): string {
  return topics[round % topics.length] ?? topics[0];
}

async function open(topic: string): Promise<void> {
  await vscode.commands.executeCommand('mlFieldNotes.openTopic', topic);
}

/** The written topic with the most formulas. */
function mostFormulas(): string {
  const folder = join(
    vscode.extensions.getExtension('ml-field-notes.ml-field-notes')?.extensionPath ?? '',
    'dist',
    'articles',
  );
  const counted = readdirSync(folder).map((file) => ({
    topic: file.replace(/\..*/, ''),
    dollars: readFileSync(join(folder, file), 'utf8').split('$').length,
  }));
  return counted.sort((one, other) => other.dollars - one.dollars)[0]?.topic ?? '';
}

/** The time until the article is painted, its fonts included. */
async function openOurs(topic: string): Promise<number> {
  const { start, painted } = await untilPainted(topic, () => open(topic));
  await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  return painted - start;
}

/** The time until the script of a page of one element has told the host that it runs. */
async function openTrivial(_round: number): Promise<number> {
  const start = now();
  const panel = vscode.window.createWebviewPanel('bench.trivial', 'Trivial', vscode.ViewColumn.One, {
    enableScripts: true,
  });
  const ready = new Promise<number>((resolve) => panel.webview.onDidReceiveMessage(() => resolve(now())));
  panel.webview.html = '<!DOCTYPE html><main>x</main><script>acquireVsCodeApi().postMessage("ready")</script>';
  const time = (await ready) - start;
  panel.dispose();
  return time;
}

/** A panel that shows what it is sent, beside the article's, so that both are visible. */
async function swappingPanel(): Promise<vscode.WebviewPanel> {
  const column = { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true };
  const panel = vscode.window.createWebviewPanel('bench.swap', 'Swap', column, { enableScripts: true });
  await untilPainted('trivial-start', () => {
    panel.webview.html = `<!DOCTYPE html><main id="article" data-topic="trivial-start">x</main><script>
      onmessage = ({ data }) => { const main = document.querySelector('main'); main.innerHTML = data; main.dataset.topic = data; };
    </script>`;
  });
  return panel;
}
