import assert from 'node:assert/strict';
import type { Frame } from 'playwright-core';
import { type ThemeName, themes } from '../support/themes';
import { until } from '../support/until';
import type { Workbench } from '../support/workbench';
import { storageFlush, takeFirst, violationsIn } from './articlePage';
import { workbenchTest } from './workbenchTest';

/** Opens a topic by the search, and waits for the form of its calculator. */
async function openCalculator(workbench: Workbench, query: string, topic: string): Promise<Frame> {
  await takeFirst(workbench, query);
  return calculatorOf(workbench, topic);
}

async function calculatorOf(workbench: Workbench, topic: string): Promise<Frame> {
  const article = await workbench.article(topic);
  await article.locator(`main#article[data-topic="${topic}"] .calculator form`).first().waitFor();
  return article;
}

const field = (article: Frame, input: string) => article.locator(`.calculator [data-input="${input}"]`).first();

const result = async (article: Frame, id: string) =>
  article.locator(`.calculator [data-result="${id}"]`).first().textContent();

workbenchTest('a calculator answers the keyboard, and keeps what was typed', async (workbench) => {
  const complaints: string[] = [];
  workbench.page.on('console', (message) => {
    if (/Content Security Policy|Refused to/.test(message.text())) complaints.push(message.text());
  });
  const topic = 'convolution-output-size';
  const article = await openCalculator(workbench, 'convolution output size', topic);
  assert.equal(await result(article, 'size'), '112');

  await field(article, 'layer').focus();
  for (const key of ['Tab', 'Tab', 'Control+a', '3', 'Tab', 'Tab', 'Control+a', '1']) {
    await workbench.page.keyboard.press(key);
  }
  assert.equal(await field(article, 'kernel').inputValue(), '3');
  assert.equal(await field(article, 'padding').inputValue(), '1');
  assert.equal(await result(article, 'size'), '112');
  await workbench.page.keyboard.press('Shift+Tab');
  await workbench.page.keyboard.press('ArrowDown');
  assert.equal(await result(article, 'size'), '224');
  await until('the result read out', 5000, async () =>
    /224/.test((await article.locator('.calculator [role="status"]').textContent()) ?? ''),
  );

  await workbench.page.waitForTimeout(storageFlush);
  await workbench.reload();
  const again = await calculatorOf(workbench, topic);
  assert.equal(await field(again, 'kernel').inputValue(), '3');
  assert.equal(await result(again, 'size'), '224');

  await again.locator('#toolbar button[aria-label^="Show in the other"]').click();
  await again.locator('.calculator form[aria-label="输出尺寸"]').waitFor();
  assert.equal(await field(again, 'kernel').inputValue(), '3');
  await again.locator('.calculator .reset', { hasText: '重置' }).click();
  assert.equal(await field(again, 'kernel').inputValue(), '7');
  assert.equal(await result(again, 'size'), '112');
  assert.deepEqual(
    complaints.filter((text) => /calculator|article|webview/.test(text)),
    [],
  );
});

workbenchTest(
  'both languages of a calculator stay in step; a wrong input is answered with a sentence',
  async (workbench) => {
    const article = await openCalculator(workbench, 'softmax', 'softmax');
    await field(article, 'temperature').fill('0.5');
    await until('sharper probabilities', 5000, async () => (await result(article, 'top')) === '0.8668');
    await article.locator('#toolbar button[aria-label^="Show both"]').click();
    const forms = article.locator('.pair .calculator form');
    await until('two forms', 10_000, async () => (await forms.count()) === 2);
    const chinese = forms.nth(1);
    assert.equal(await chinese.locator('[data-input="temperature"]').inputValue(), '0.5');

    await chinese.locator('[data-input="logits"]').fill('2, x');
    await chinese.locator('.problem', { hasText: '请输入 2 到 12 个' }).waitFor();
    await forms.nth(0).locator('.problem', { hasText: 'Enter 2 to 12 numbers' }).waitFor();
    assert.equal(await forms.nth(0).locator('[data-input="logits"]').getAttribute('aria-invalid'), 'true');
    assert.doesNotMatch((await article.locator('.calculator').allTextContents()).join(' '), /NaN/);
    await chinese.locator('[data-input="logits"]').fill('0 0');
    await until('even probabilities', 5000, async () => (await result(article, 'top')) === '0.5');
  },
);

const pages = [
  { query: 'convolution output size', topic: 'convolution-output-size' },
  { query: 'learning rate schedules', topic: 'learning-rate-schedules' },
  { query: 'iou losses', topic: 'iou-and-iou-losses' },
  { query: 'receptive field', topic: 'receptive-field' },
  { query: 'softmax', topic: 'softmax' },
] as const;

for (const theme of ['dark', 'light', 'highContrast', 'highContrastLight'] as const satisfies readonly ThemeName[]) {
  workbenchTest(
    `axe finds nothing to complain of in calculators in ${theme}`,
    async (workbench) => {
      await workbench.page.locator(`.monaco-workbench.${themes[theme].windowClass}`).waitFor();
      for (const { query, topic } of pages) {
        const article = await openCalculator(workbench, query, topic);
        assert.deepEqual(await violationsIn(article, '.calculator'), [], topic);
      }
      const article = await openCalculator(workbench, 'convolution output size', 'convolution-output-size');
      await field(article, 'kernel').fill('0');
      await article.locator('.calculator .problem', { hasText: /Enter a whole number/ }).waitFor();
      assert.deepEqual(await violationsIn(article, '.calculator'), [], 'a wrong input');
    },
    { settings: { 'workbench.colorTheme': themes[theme].id } },
  );
}
