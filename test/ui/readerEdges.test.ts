import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Frame } from 'playwright-core';
import { until } from '../support/until';
import type { Workbench } from '../support/workbench';
import { headingAtTop } from './articlePage';
import { workbenchTest } from './workbenchTest';

/** Opens a topic by a link, as a mail or a web page would hold it. */
async function openLink(workbench: Workbench, path: string): Promise<void> {
  const link = `${uriScheme}://ml-field-notes.ml-field-notes/${path}`;
  await workbench.quickPick.typeInto(() => workbench.runCommand('Developer: Open URL'), link);
  await workbench.page.keyboard.press('Enter');
  // VS Code asks before an extension gets an address.
  const allow = workbench.page.locator('.monaco-dialog-box .monaco-button', { hasText: /^Open$/ });
  await allow.click({ timeout: 20_000 });
}

/** The scheme of this VS Code's own links, as `vscode.env.uriScheme` has it. */
const uriScheme = 'code-oss';

async function topicByCommand(workbench: Workbench, query: string, topic: string): Promise<Frame> {
  await workbench.quickPick.typeInto(() => workbench.runCommand('ML Field Notes: Search Topics'), query);
  await workbench.quickPick.accept();
  return whole(workbench, topic);
}

/** The article, once all of it is on the page. */
async function whole(workbench: Workbench, topic: string): Promise<Frame> {
  const article = await workbench.article(topic);
  await article.locator('main#article[data-whole]').waitFor();
  return article;
}

/** Clicks a button of the toolbar where it is: the driver's own click scrolls a page whose toolbar sticks to the top. */
async function clickButton(workbench: Workbench, article: Frame, label: string): Promise<void> {
  const box = await article.locator(`#toolbar button[aria-label^="${label}"]`).boundingBox();
  assert.ok(box, `a button ${label}`);
  await workbench.page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
}

workbenchTest(
  'a link opens a topic at a heading; one that leads nowhere says so and offers the search',
  async (workbench) => {
    await openLink(workbench, 'topic/layer-normalization#pitfalls');
    const article = await whole(workbench, 'layer-normalization');
    await until('the heading', 10_000, async () => (await headingAtTop(article)) === 'pitfalls');
    await openLink(workbench, 'topic/layer-normalisation-of-old#nowhere');
    const missing = await workbench.article('layer-normalisation-of-old');
    await missing.locator('h1', { hasText: 'No such topic' }).waitFor();
    await missing.locator('a[data-topic="layer-normalization"]').waitFor();
    await missing.locator('a[data-search]').click();
    await workbench.quickPick.widget.waitFor();
    await workbench.quickPick.hide();
    await missing.locator('a[data-topic="layer-normalization"]').click();
    await whole(workbench, 'layer-normalization');
    await openLink(workbench, 'topic/adam#no-such-heading');
    const adam = await whole(workbench, 'adam');
    assert.equal(await headingAtTop(adam), 'top');
  },
);

workbenchTest('an article saved as a web page stands alone', async (workbench) => {
  await topicByCommand(workbench, 'layer norm', 'layer-normalization');
  await workbench.runCommand('ML Field Notes: Save Article as a Web Page');
  // The web workbench asks for a path in a box of its own; the name takes a moment to be in it.
  const path = workbench.quickPick.widget.locator('input[type="text"]');
  await until('the name of the file', 20_000, async () => /layer-normalization\.en/.test(await path.inputValue()));
  await workbench.quickPick.widget.locator('.monaco-button', { hasText: 'OK' }).click();
  const folder = new URL(workbench.page.url()).searchParams.get('folder') ?? '';
  // The file is there before all of it is written.
  const html = await until('the whole file', 20_000, async () => {
    const text = await readFile(join(folder, 'layer-normalization.en.html'), 'utf8').catch(() => '');
    return text.trimEnd().endsWith('</html>') ? text : undefined;
  });
  assert.doesNotMatch(html, /<script|<link|url\((?!data:|#)/);
  const page = await workbench.page.context().newPage();
  const requests: string[] = [];
  page.on('request', (request) => requests.push(request.url()));
  await page.setContent(html);
  await page.locator('#pitfalls').waitFor();
  const fonts = await page.evaluate(async () => {
    await document.fonts.ready;
    return [...document.fonts].filter(({ status }) => status === 'loaded').map(({ family }) => family);
  });
  assert.ok(fonts.includes('KaTeX_Main'), `loaded fonts: ${fonts.join(', ')}`);
  assert.deepEqual(
    requests.filter((url) => !/^(?:data|about):/.test(url)),
    [],
  );
  await page.close();
});

workbenchTest(
  'open answers, language, theme, mouse buttons, neighbours, outside links; a page that was killed comes back',
  async (workbench) => {
    const article = await topicByCommand(workbench, 'layer norm', 'layer-normalization');
    await article.locator('#contents a', { hasText: 'Questions' }).click();
    await article.locator('details summary').first().click();
    await article.waitForTimeout(400);
    await workbench.openFile('import_forms.py');
    await workbench.page.locator('.part.editor .tab', { hasText: 'Layer normalization' }).click();
    const again = await whole(workbench, 'layer-normalization');
    await again.locator('details#questions-1[open]').waitFor();
    await until('the questions', 5000, async () => (await headingAtTop(again)).startsWith('questions'));

    await workbench.runCommand('Developer: Reload Webviews');
    await until('a page made anew', 20_000, async () => again.isDetached());
    const reborn = await whole(workbench, 'layer-normalization');
    await reborn.locator('details#questions-1[open]').waitFor();
    await until('the questions again', 5000, async () => (await headingAtTop(reborn)).startsWith('questions'));

    await reborn.locator('#contents a', { hasText: 'Pitfalls' }).click();
    await clickButton(workbench, reborn, 'Show in the other');
    await reborn.locator('h2#pitfalls', { hasText: '常见陷阱' }).waitFor();
    await until('the same heading', 5000, async () => (await headingAtTop(reborn)) === 'pitfalls');
    await clickButton(workbench, reborn, 'Show in the other');
    await reborn.locator('h2#pitfalls', { hasText: 'Pitfalls' }).waitFor();

    const background = () => reborn.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const dark = await background();
    await workbench.useTheme('light');
    await until('the colours of the light theme', 10_000, async () => (await background()) !== dark);

    await reborn.locator('#neighbours a[rel="next"]').click();
    const next = await until('the next topic', 10_000, () =>
      reborn.evaluate(() => {
        const topic = document.querySelector('main')?.dataset.topic;
        return topic === 'layer-normalization' ? undefined : topic;
      }),
    );
    const press = (number: number) =>
      reborn.evaluate(
        (which) => document.dispatchEvent(new MouseEvent('mouseup', { button: which, bubbles: true })),
        number,
      );
    await press(3);
    await whole(workbench, 'layer-normalization');
    await press(4);
    await whole(workbench, next);

    const outside = reborn.locator('#references ~ * a[data-external]').first();
    const address = await outside.getAttribute('href');
    await outside.click();
    // VS Code asks; the page itself stays where it is.
    await workbench.page.locator('.monaco-dialog-box', { hasText: new URL(address ?? '').hostname }).waitFor();
    await workbench.page.keyboard.press('Escape');
    assert.equal(await reborn.evaluate(() => document.querySelector('main')?.dataset.topic), next);
  },
  { file: 'import_forms.py' },
);

workbenchTest(
  'size and width of the text follow the settings, and a code block is copied',
  async (workbench) => {
    const article = await topicByCommand(workbench, 'layer norm', 'layer-normalization');
    const look = await article.evaluate(() => ({
      letters: getComputedStyle(document.body).fontSize,
      column: getComputedStyle(document.querySelector('#column') ?? document.body).maxWidth,
    }));
    assert.deepEqual(look, { letters: '18px', column: '540px' });
    await article.locator('.code').first().hover();
    await article.locator('.code button[aria-label^="Copy"]').first().click();
    await article.locator('.code button', { hasText: '✓' }).first().waitFor();
  },
  { settings: { 'mlFieldNotes.article.fontSize': 18, 'mlFieldNotes.article.width': 30 } },
);
