import assert from 'node:assert/strict';
import { type ThemeName, themes } from '../support/themes';
import { workbenchTest } from './workbenchTest';

const file = 'train_digits.py';

for (const theme of Object.keys(themes) as ThemeName[]) {
  workbenchTest(
    `the card of nn.LayerNorm has a formula that can be read in the ${theme} theme`,
    async (workbench) => {
      const card = await workbench.hover('nn.LayerNorm', /layer normalization/i);
      const image = card.locator('img').first();
      await image.evaluate((element) => (element as HTMLImageElement).decode());
      const isLight = theme === 'light' || theme === 'highContrastLight';
      assert.equal(await inkOf(await image.getAttribute('src')), isLight ? 'dark' : 'light');
    },
    { file, settings: { 'workbench.colorTheme': themes[theme].id } },
  );
}

workbenchTest(
  'the card is Chinese where VS Code is',
  async (workbench) => {
    await workbench.hover('nn.LayerNorm', /层归一化.*形状/s);
  },
  { file, language: 'zh-cn' },
);

workbenchTest(
  'the link of a card opens the article',
  async (workbench) => {
    const card = await workbench.hover('nn.LayerNorm', /layer normalization/i);
    await card.locator('a', { hasText: 'Article' }).click();
    const article = await workbench.article('layer-normalization');
    await article.locator('main#article .katex').first().waitFor();
  },
  { file },
);

/** Whether the first colour of a formula's SVG is nearer to black or to white. */
async function inkOf(source: string | null): Promise<'dark' | 'light'> {
  const svg = Buffer.from((source ?? '').replace(/^data:[^,]*,/, ''), 'base64').toString('utf8');
  const [, colour = ''] = /#([0-9a-f]{6}|[0-9a-f]{3})\b/i.exec(svg) ?? [];
  assert.notEqual(colour, '', 'the SVG names its colour');
  const full = colour.length === 3 ? [...colour].map((digit) => digit + digit).join('') : colour;
  return Number.parseInt(full.slice(2, 4), 16) < 128 ? 'dark' : 'light';
}
