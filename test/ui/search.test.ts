import assert from 'node:assert/strict';
import { suite } from 'node:test';
import { shippedSearch } from '../search/shippedSearch';
import { pointOf } from '../support/textPosition';
import { until } from '../support/until';
import type { Workbench } from '../support/workbench';
import { workbenchTest } from './workbenchTest';

const languages = [
  { display: 'en', article: 'en', queries: ['norm', 'cross entropy', 'adma', 'F.softmax', 'why gradient vanish'] },
  { display: 'zh-cn', article: 'zh-cn', queries: ['归一化', 'jiaochashang', '层归1化', '梯度消失怎么办', 'bn 和 ln'] },
] as const;

/** The quick pick draws the rows that are in sight. */
const rowsInSight = 5;

suite('the search box', () => {
  workbenchTest('finds a topic in spite of a typing error, and Enter opens it at once', async (workbench) => {
    await workbench.quickPick.typeInto(() => workbench.runCommand('ML Field Notes: Search Topics'), 'layernrom');
    await workbench.quickPick.accept();
    await workbench.article('layer-normalization');
  });

  for (const { display, article, queries } of languages) {
    workbenchTest(
      `shows the rows in our order and opens the first on Enter, in ${display}`,
      async (workbench) => {
        const { search } = await shippedSearch();
        await open(workbench);
        for (const query of queries) {
          const expected = search.find(query, rowsInSight).map(({ topic }) => topic.title[article]);
          await workbench.quickPick.type(query);
          await workbench.quickPick.waitForFirstRow(expected[0] ?? '');
          assert.deepEqual((await workbench.quickPick.rows()).slice(0, expected.length), expected, query);
        }
        const [first] = search.find(queries[0]);
        await workbench.quickPick.type(queries[0]);
        await workbench.quickPick.waitForFirstRow(first?.topic.title[article] ?? '');
        await workbench.quickPick.accept();
        await workbench.article(first?.topic.id);
      },
      { language: display },
    );
  }

  workbenchTest(
    'searches the text of the articles after a question mark, and marks what was found',
    async (workbench) => {
      await open(workbench);
      await workbench.quickPick.type('?biased variance');
      await until('the passage', 15_000, async () => /biased.*variance/i.test(await detailOfFirstRow(workbench)));
      await workbench.quickPick.accept();
      const article = await workbench.article();
      await until('the text to be marked', 20_000, () =>
        article.evaluate(() => (CSS.highlights.get('found')?.size ?? 0) > 0),
      );
      assert.ok(await article.evaluate(() => window.scrollY > 0), 'the article is scrolled to the passage');
    },
  );

  workbenchTest(
    'offers the name at the cursor first, then the topics of the file',
    async (workbench) => {
      const { x, y } = await pointOf(workbench.page, 'nn.LayerNorm');
      await workbench.page.mouse.click(x, y);
      await open(workbench);
      await workbench.quickPick.waitForFirstRow('Layer normalization');
      assert.equal((await separators(workbench))[0], '“nn.LayerNorm” at the cursor');
      // The box draws the rows in sight; earlier tests may have left more recent topics than fit.
      await until('the topics of the file', 20_000, async () => {
        await workbench.page.keyboard.press('PageDown');
        return (await separators(workbench)).includes('in this file');
      });
    },
    { file: 'train_digits.py' },
  );
});

async function open(workbench: Workbench): Promise<void> {
  await workbench.quickPick.openByKey('Control+Alt+/');
}

async function detailOfFirstRow({ quickPick }: Workbench): Promise<string> {
  const detail = quickPick.widget.locator('.monaco-list-row .quick-input-list-label-meta').first();
  return (await detail.textContent({ timeout: 1000 }).catch(() => null)) ?? '';
}

async function separators({ quickPick }: Workbench): Promise<readonly string[]> {
  return quickPick.widget.locator('.quick-input-list-separator').allTextContents();
}
