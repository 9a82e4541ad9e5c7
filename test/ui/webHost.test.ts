import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { BrowserContext } from 'playwright-core';
import { openBrowser } from '../support/browser';
import { unpackExtension } from '../support/extensionPackage';
import { fixtureWorkspace, packagedExtension } from '../support/paths';
import { WebHost } from '../support/webHost';
import { Workbench } from '../support/workbench';
import { keepPicture } from './workbenchTest';

suite('in the web extension host', { timeout: 240_000 }, () => {
  let host: WebHost;
  let browser: BrowserContext;
  let workbench: Workbench;

  before(async () => {
    const extensionDevelopmentPath = await unpackExtension(packagedExtension);
    host = await WebHost.start({ extensionDevelopmentPath, workspace: fixtureWorkspace });
    browser = await openBrowser();
    workbench = await Workbench.open(browser, host.url);
  });

  after(async () => {
    await browser?.close();
    await host?.stop();
  });

  test('a hover on nn.LayerNorm shows our card', async () => {
    await pictured('web hover', async () => {
      await workbench.openFileFromExplorer('train_digits.py');
      const hover = await workbench.hover('nn.LayerNorm', /layer normalization/i);
      assert.ok((await hover.locator('img').count()) > 0, 'the card has a formula');
    });
  });

  test('an article opens in a webview', async () => {
    await pictured('web article', async () => {
      await workbench.runCommand('ML Field Notes: Search Topics');
      await workbench.quickPick.type('layer norm');
      await workbench.quickPick.acceptRow('Layer normalization');
      const article = await workbench.article('layer-normalization');
      await article.locator('main#article h1', { hasText: /layer normalization/i }).waitFor();
    });
  });

  async function pictured(name: string, body: () => Promise<void>): Promise<void> {
    await body().catch(async (error: unknown) => {
      await keepPicture(workbench, name);
      throw error;
    });
  }
});
