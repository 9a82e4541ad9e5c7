import assert from 'node:assert/strict';
import { until } from '../support/until';
import type { Workbench } from '../support/workbench';
import { workbenchTest } from './workbenchTest';

workbenchTest('an article opens from the tree of topics', async (workbench) => {
  await workbench.showViewContainer('ML Field Notes');
  for (const row of ['Loss functions', 'Classification losses', 'Binary cross-entropy loss']) {
    await workbench.treeRows().filter({ hasText: row }).first().click();
  }
  const article = await workbench.article('binary-cross-entropy');
  await article.locator('main#article h1', { hasText: /binary cross-entropy/i }).waitFor();
});

workbenchTest('an article survives a reload of the window', async (workbench) => {
  await openBySearch(workbench, 'layer norm');
  await workbench.article('layer-normalization');
  await workbench.reload();
  await workbench.article('layer-normalization');
});

workbenchTest('an article asks the network for nothing', async (workbench) => {
  const asked: string[] = [];
  workbench.page.on('request', (request) => {
    const { hostname } = new URL(request.url());
    if (request.frame().url().includes('fake.html') && hostname !== '127.0.0.1') asked.push(request.url());
  });
  await openBySearch(workbench, 'layer norm');
  const article = await workbench.article('layer-normalization');
  await until('the fonts', 10_000, () => article.evaluate(() => document.fonts.status === 'loaded'));
  // VS Code serves an extension's own files under this name, from a service worker.
  assert.deepEqual(
    asked.filter((url) => !/\.vscode-cdn\.net\//.test(url)),
    [],
  );
});

async function openBySearch(workbench: Workbench, words: string): Promise<void> {
  await workbench.quickPick.typeInto(() => workbench.runCommand('ML Field Notes: Search Topics'), words);
  await workbench.quickPick.waitForFirstRow(/layer norm/i);
  await workbench.quickPick.accept();
}
