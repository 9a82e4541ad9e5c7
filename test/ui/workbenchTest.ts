import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { BrowserContext } from 'playwright-core';
import { openBrowser } from '../support/browser';
import type { DisplayLanguage } from '../support/languagePack';
import { packagedExtension, root } from '../support/paths';
import { VsCodeServer } from '../support/vscodeServer';
import { Workbench } from '../support/workbench';
import { workspaceCopy } from '../support/workspaceCopy';

export interface WorkbenchTestOptions {
  /** The display language of VS Code. Each language has a server of its own for the whole run. */
  readonly language?: DisplayLanguage;
  /** A file of the workspace that is open from the start. Faster than `openFile`, whose search starts slowly. */
  readonly file?: string;
  /** User settings for this test, over those every test has. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** For a test that does one thing many times. */
  readonly timeoutMs?: number;
}

const servers = new Map<DisplayLanguage, Promise<VsCodeServer>>();
let browser: Promise<BrowserContext> | undefined;

/**
 * Declares a test that gets a workbench with the packaged extension installed and a copy of the fixture workspace open.
 * All tests of a process share the browser and the server; state does not carry over, because VS Code keeps it
 * by folder and every test has a folder of its own. A failed test leaves a picture in test-results/.
 */
export function workbenchTest(
  name: string,
  body: (workbench: Workbench) => Promise<void>,
  options: WorkbenchTestOptions = {},
): void {
  test(name, { timeout: options.timeoutMs ?? 180_000 }, async () => {
    const server = await serverFor(options.language ?? 'en');
    await server.writeSettings(options.settings ?? {});
    const folder = await workspaceCopy();
    const page = options.file === undefined ? { folder } : { folder, openFile: join(folder, options.file) };
    const workbench = await Workbench.open(await sharedBrowser(), server.url(page));
    try {
      await body(workbench);
    } catch (error) {
      await keepPicture(workbench, name);
      throw error;
    } finally {
      await workbench.close();
    }
  });
}

/** Saves what the page shows at the moment as test-results/NAME.png. */
export async function keepPicture(workbench: Workbench, name: string): Promise<void> {
  await mkdir(join(root, 'test-results'), { recursive: true });
  const fileName = `${name.replaceAll(/[^\p{L}\p{N}]+/gu, '-')}.png`;
  await writeFile(join(root, 'test-results', fileName), await workbench.picture()).catch(() => undefined);
}

function serverFor(language: DisplayLanguage): Promise<VsCodeServer> {
  const server = servers.get(language) ?? VsCodeServer.start({ language, vsix: [packagedExtension] });
  servers.set(language, server);
  return server;
}

function sharedBrowser(): Promise<BrowserContext> {
  browser ??= openBrowser();
  return browser;
}

after(async () => {
  await (await browser)?.close();
  for (const server of servers.values()) await (await server).stop();
});
