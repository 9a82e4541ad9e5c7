import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BrowserContext } from 'playwright-core';
import { openBrowser } from '../support/browser';
import type { DisplayLanguage } from '../support/languagePack';
import { packageExtension } from '../support/packaging';
import { packagedExtension, root } from '../support/paths';
import { type ThemeName, themes } from '../support/themes';
import { VsCodeServer } from '../support/vscodeServer';
import { Workbench } from '../support/workbench';
import { workspaceCopy } from '../support/workspaceCopy';
import { type Scene, scenes } from './scenes';
import { smallPng } from './smallPng';

const folder = join(root, 'media', 'screenshots');
const languages = ['en', 'zh-cn'] as const satisfies readonly DisplayLanguage[];

/** `npm run screenshots [SCENE…]`: writes media/screenshots/SCENE-THEME-LANGUAGE.png for each picture of the table. */
async function main(names: readonly string[]): Promise<void> {
  const wanted = scenes.filter(({ name }) => names.length === 0 || names.includes(name));
  if (wanted.length === 0) throw new Error(`The scenes are ${scenes.map(({ name }) => name).join(', ')}.`);
  await packageExtension();
  await mkdir(folder, { recursive: true });
  const browser = await openBrowser({ width: 1280, height: 800, progress: console.log });
  try {
    for (const language of languages) await takeAll(browser, wanted, language);
  } finally {
    await browser.close();
  }
}

async function takeAll(browser: BrowserContext, wanted: readonly Scene[], language: DisplayLanguage): Promise<void> {
  const server = await VsCodeServer.start({ language, vsix: [packagedExtension], progress: console.log });
  try {
    for (const scene of wanted) {
      for (const theme of scene.themes) await take(browser, server, { scene, theme, language });
    }
  } finally {
    await server.stop();
  }
}

interface Picture {
  readonly scene: Scene;
  readonly theme: ThemeName;
  readonly language: DisplayLanguage;
}

async function take(browser: BrowserContext, server: VsCodeServer, picture: Picture): Promise<void> {
  const { scene, theme, language } = picture;
  await server.writeSettings({ ...settingsOfPictures, 'workbench.colorTheme': themes[theme].id });
  const workbench = await Workbench.open(browser, server.url({ folder: await workspaceCopy() }));
  try {
    await workbench.page.locator(`.monaco-workbench.${themes[theme].windowClass}`).waitFor();
    await scene.set(workbench, language);
    const path = join(folder, `${scene.name}-${theme}-${language}.png`);
    await writeFile(path, smallPng(await workbench.picture()));
    console.log(`${path.slice(root.length + 1)}  ${Math.round((await stat(path)).size / 1024)} KB`);
  } finally {
    await workbench.close();
  }
}

/** What would draw the eye away from the extension. */
const settingsOfPictures = {
  'editor.minimap.enabled': false,
  'editor.occurrencesHighlight': 'off',
  'breadcrumbs.enabled': false,
} as const;

main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  },
);
