import type { BrowserContext, Frame, Locator, Page } from 'playwright-core';
import { QuickPick } from './quickPick';
import { pointOf } from './textPosition';
import { type ThemeName, themes } from './themes';
import { until } from './until';

/** The workbench in a browser page, driven as a user drives it: keys, pointer, and what is on the screen. */
export class Workbench {
  readonly page: Page;
  readonly quickPick: QuickPick;

  private constructor(page: Page) {
    this.page = page;
    this.quickPick = new QuickPick(page);
  }

  /** Opens the address in the context's page and waits until the window and its extensions are there. */
  static async open(context: BrowserContext, url: string): Promise<Workbench> {
    const page = await context.newPage();
    await page.goto(url);
    const workbench = new Workbench(page);
    await workbench.#untilShown();
    return workbench;
  }

  /** Reloads the window, as a user does it: open editors and webviews come back from what was saved. */
  async reload(): Promise<void> {
    const loaded = this.page.waitForEvent('load');
    await this.runCommand('Developer: Reload Window');
    await loaded;
    await this.#untilShown();
  }

  async #untilShown(): Promise<void> {
    await this.page.locator('.monaco-workbench .part.editor').waitFor({ timeout: 60_000 });
    await this.page.locator('.monaco-workbench .part.statusbar .statusbar-item').first().waitFor();
  }

  /** Opens a file of the workspace by its name, as with Ctrl+P. */
  async openFile(name: string): Promise<void> {
    await this.quickPick.openFile(name);
    await this.#untilEditing(name);
  }

  /** Opens a file at the top of the workspace by its row in the explorer, which works without a file search too. */
  async openFileFromExplorer(name: string): Promise<void> {
    const row = this.page.locator('.explorer-folders-view .monaco-list-row', { hasText: name });
    await row.first().dblclick({ timeout: 45_000 });
    await this.#untilEditing(name);
  }

  /** Scrolls the active editor to a line, counted from 1, and puts the caret there. */
  async goToLine(line: number): Promise<void> {
    await this.quickPick.openLine(line);
    await this.page.locator('.part.statusbar', { hasText: new RegExp(`\\b${line}, `) }).waitFor();
  }

  async #untilEditing(name: string): Promise<void> {
    await this.page.locator('.tab.active', { hasText: name }).waitFor();
    await this.page.locator('.editor-instance .view-line').first().waitFor();
  }

  /** Runs a command by the words the command palette shows. */
  async runCommand(title: string): Promise<void> {
    await this.quickPick.runCommand(title);
  }

  /** Shows a view container of the activity bar by its title. */
  async showViewContainer(title: string): Promise<Locator> {
    const icon = this.page.locator('.part.activitybar .action-item', {
      has: this.page.locator(`a[aria-label^="${title}"]`),
    });
    await icon.waitFor({ timeout: 30_000 });
    const shown = await icon.evaluate((element) => element.classList.contains('checked'));
    if (!shown) await icon.click();
    await this.page.locator('.part.sidebar .composite.title', { hasText: new RegExp(title, 'i') }).waitFor();
    return this.page.locator('.part.sidebar');
  }

  /** The rows a tree in the sidebar shows at the moment. */
  treeRows(): Locator {
    return this.page.locator('.part.sidebar .monaco-list-row');
  }

  /**
   * Rests the pointer on a text of the active editor until a hover appears whose words contain `expected`. An extension
   * that is still starting answers a later try, so the pointer leaves and comes back until then.
   */
  async hover(text: string, expected: string | RegExp = ''): Promise<Locator> {
    const shown = this.page.locator('.monaco-editor .monaco-hover:visible', { hasText: expected });
    await until(`a hover on ${text} with ${String(expected)}`, 45_000, async () => {
      await this.hideHover();
      const at = await pointOf(this.page, text);
      await this.page.mouse.move(at.x - 2, at.y);
      await this.page.mouse.move(at.x, at.y);
      return shown
        .first()
        .waitFor({ timeout: 1500 })
        .then(
          () => true,
          () => false,
        );
    });
    return shown.first();
  }

  /** Takes the pointer to where nothing answers, and waits until no hover is left. */
  async hideHover(): Promise<void> {
    await this.page.mouse.move(2, 2);
    await this.page.keyboard.press('Escape');
    await this.page.locator('.monaco-editor .monaco-hover:visible').first().waitFor({ state: 'hidden' });
  }

  /** The frame that holds an article: a webview is two frames, and the page is in the inner one. */
  async article(topic?: string): Promise<Frame> {
    const wanted = topic === undefined ? 'main#article[data-topic]' : `main#article[data-topic="${topic}"]`;
    return until(`the article ${topic ?? ''}`, 45_000, async () => {
      for (const frame of this.page.frames().filter((each) => /fake\.html/.test(each.url()))) {
        const found = await frame
          .locator(wanted)
          .count()
          .catch(() => 0);
        if (found > 0) return frame;
      }
      return undefined;
    });
  }

  /** Switches the colour theme the way a user does, and waits until the window wears it. */
  async useTheme(name: ThemeName): Promise<void> {
    const theme = themes[name];
    await this.runCommand('Preferences: Color Theme');
    await this.quickPick.type(theme.label);
    await this.quickPick.acceptRow(theme.label);
    await this.page.locator(`.monaco-workbench.${theme.windowClass}`).waitFor();
  }

  /** Closes every notification. */
  async dismissNotifications(): Promise<void> {
    const shown = this.page.locator('.notifications-toasts .notification-toast');
    if ((await shown.count()) > 0) await this.runCommand('Notifications: Clear All Notifications');
  }

  async closeAllEditors(): Promise<void> {
    await this.runCommand('View: Close All Editors');
    await this.page.locator('.part.editor .tab').first().waitFor({ state: 'detached' });
  }

  /** What the window shows, as PNG. */
  async picture(): Promise<Buffer> {
    return this.page.screenshot({ animations: 'disabled', caret: 'hide' });
  }

  async close(): Promise<void> {
    await this.page.close();
  }
}
