import type { Frame, Locator } from 'playwright-core';
import type { DisplayLanguage } from '../support/languagePack';
import type { ThemeName } from '../support/themes';
import type { Workbench } from '../support/workbench';

/** One picture's content. It is taken in each of its themes and in both languages. */
export interface Scene {
  readonly name: string;
  readonly themes: readonly ThemeName[];
  /** Brings the window to where the picture is taken. */
  readonly set: (workbench: Workbench, language: DisplayLanguage) => Promise<void>;
}

const file = 'train_digits.py';

export const scenes: readonly Scene[] = [
  {
    name: 'article',
    themes: ['light', 'dark'],
    set: async (workbench) => {
      await workbench.showViewContainer('ML Field Notes');
      await searchFor(workbench, 'layer norm');
      await workbench.quickPick.accept();
      await untilDrawn(await workbench.article('layer-normalization'));
      await workbench.treeRows().and(workbench.page.locator('.selected')).waitFor();
    },
  },
  hoverScene('hover-layer-norm', { line: 12, symbol: 'nn.LayerNorm', says: /layer normalization|层归一化/i }),
  hoverScene('hover-bce-with-logits', { line: 42, symbol: 'BCEWithLogitsLoss', says: /cross-entropy|交叉熵/i }),
  {
    name: 'search',
    themes: ['dark', 'light'],
    set: async (workbench, language) => {
      await workbench.openFile(file);
      await searchFor(workbench, language === 'en' ? 'layernrom' : '层归1化');
    },
  },
];

interface HoverPlace {
  readonly line: number;
  readonly symbol: string;
  readonly says: RegExp;
}

function hoverScene(name: string, { line, symbol, says }: HoverPlace): Scene {
  return {
    name,
    themes: ['dark', 'light', 'highContrastLight'],
    set: async (workbench) => {
      await workbench.openFile(file);
      await workbench.goToLine(line);
      await untilLoaded(await workbench.hover(symbol, says));
    },
  };
}

/** The search's key binding is the same in every display language; its title is not. */
async function searchFor(workbench: Workbench, words: string): Promise<void> {
  await workbench.quickPick.typeInto(() => workbench.quickPick.openByKey('Control+Alt+/'), words);
  await workbench.quickPick.waitForFirstRow(/layer norm|层归一化/i);
}

async function untilLoaded(hover: Locator): Promise<void> {
  await hover.locator('img').first().waitFor();
  await hover
    .locator('img')
    .evaluateAll((images) => Promise.all(images.map((image) => (image as HTMLImageElement).decode())));
}

async function untilDrawn(article: Frame): Promise<void> {
  await article.locator('main#article .katex').first().waitFor();
  await article.evaluate(() => document.fonts.ready.then(() => undefined));
}
