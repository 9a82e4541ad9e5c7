import * as vscode from 'vscode';
import { reportFigures, test } from '../../support/hostSuite';
import { alternate } from '../figures';
import { untilPainted } from './paintLog';

const topics = ['layer-normalization', 'binary-cross-entropy', 'batch-normalization', 'cross-entropy-loss'] as const;

test('new panel', async () => {
  const first = await openOurs(0);
  reportFigures('first article', { ours: [first], floor: [await openTrivial(0)] });
  reportFigures('new panel', await alternate(14, openOurs, openTrivial, 1));
}, 180_000);

test('topic swap', async () => {
  await untilPainted(topicOf(0), () => open(topicOf(0)));
  const trivial = await swappingPanel();
  const swapOurs = async (round: number) => {
    const topic = topicOf(round + 1);
    const { start, painted } = await untilPainted(topic, () => open(topic));
    return painted - start;
  };
  const swapTrivial = async (round: number) => {
    const topic = `trivial-${round}`;
    const { start, painted } = await untilPainted(topic, () => trivial.webview.postMessage(topic));
    return painted - start;
  };
  reportFigures('topic swap', await alternate(20, swapOurs, swapTrivial, 2));
  await vscode.commands.executeCommand('workbench.action.closeAllEditors');
}, 180_000);

function topicOf(round: number): string {
  return topics[round % topics.length] ?? topics[0];
}

async function open(topic: string): Promise<void> {
  await vscode.commands.executeCommand('mlFieldNotes.openTopic', topic);
}

/** The time until the article is painted, its fonts included. */
async function openOurs(round: number): Promise<number> {
  const topic = topicOf(round);
  const { start, painted } = await untilPainted(topic, () => open(topic));
  await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  return painted - start;
}

/** The time until a page of one element stands there. Its scripts are enabled, or the observer could not run in it. */
async function openTrivial(round: number): Promise<number> {
  const topic = `trivial-${round}`;
  let panel: vscode.WebviewPanel | undefined;
  const { start, ready } = await untilPainted(topic, () => {
    panel = vscode.window.createWebviewPanel('bench.trivial', 'Trivial', vscode.ViewColumn.One, {
      enableScripts: true,
    });
    panel.webview.html = `<!DOCTYPE html><main id="article" data-topic="${topic}">x</main>`;
  });
  panel?.dispose();
  return ready - start;
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
