import type { Locator, Page } from 'playwright-core';
import { until } from './until';

/** The input with rows below it that VS Code uses for commands, files and an extension's own searches. */
export class QuickPick {
  readonly #page: Page;

  constructor(page: Page) {
    this.#page = page;
  }

  get widget(): Locator {
    return this.#page.locator('.quick-input-widget:visible');
  }

  get input(): Locator {
    return this.widget.locator('.quick-input-box input');
  }

  /** Runs a command by its title. A palette opened before the extension's commands were there is opened again. */
  async runCommand(title: string): Promise<void> {
    await until(`the command ${title}`, 45_000, async () => {
      await this.#open('F1', '>');
      return this.#pickRow(`>${title}`, title, 1500);
    });
  }

  /** Opens a file by name. A search that began before the workspace was there finds nothing and is begun again. */
  async openFile(name: string): Promise<void> {
    await until(`the file ${name}`, 45_000, async () => {
      await this.#open('Control+P', '');
      return this.#pickRow(name, name, 3000);
    });
  }

  /** Whether the row was there and was taken; while the window starts, the box may go away under the hands. */
  async #pickRow(text: string, label: string, timeout: number): Promise<boolean> {
    const taken = this.input.fill(text, { timeout: 5000 }).then(() => this.acceptRow(label, timeout));
    return taken.then(
      () => true,
      () => false,
    );
  }

  /** Opens what a key binding opens, and waits for its input. */
  async openByKey(key: string): Promise<void> {
    await this.#open(key, '');
  }

  /**
   * Opens a box and types into it. The focus may still be on its way to somewhere else, which closes the box under the
   * hands: then it is opened again.
   */
  async typeInto(open: () => Promise<unknown>, text: string): Promise<void> {
    await until(`a box with ${text}`, 45_000, async () =>
      open()
        .then(() => this.input.fill(text, { timeout: 3000 }))
        .then(
          () => true,
          () => false,
        ),
    );
  }

  /** Goes to a line of the active editor. */
  async openLine(line: number): Promise<void> {
    await this.#open('Control+G', ':');
    await this.type(`:${line}`);
    await this.accept();
    await this.widget.waitFor({ state: 'hidden' });
  }

  /** A key may come too early, while the window still starts: it is pressed again until the input stands there. */
  async #open(key: string, prefix: string): Promise<void> {
    await until(`the quick pick of ${key}`, 30_000, async () => {
      if ((await this.widget.count()) > 0) await this.hide();
      await this.#page.keyboard.press(key);
      return this.input.waitFor({ timeout: 2000 }).then(
        // It may be gone again by now: while the window starts, what has the focus changes.
        async () =>
          (await this.input.inputValue({ timeout: 2000 }).catch(() => undefined))?.startsWith(prefix) === true,
        () => false,
      );
    });
  }

  async waitUntilShown(): Promise<void> {
    await this.input.waitFor();
  }

  /** Replaces what is typed. */
  async type(text: string): Promise<void> {
    await this.input.fill(text);
  }

  /** The labels of the rows on the screen, top first. */
  async rows(): Promise<readonly string[]> {
    return this.widget.locator('.quick-input-list .monaco-list-row').evaluateAll((rows) =>
      // A row's detail, on a line of its own below, is made of the same elements as its label.
      rows.map((row) => row.querySelector('.label-name')?.textContent?.replaceAll('\u00a0', ' ') ?? ''),
    );
  }

  /** Waits until the first row has this label: an extension's answer to what was typed takes a moment. */
  async waitForFirstRow(label: string | RegExp): Promise<void> {
    await until(`${String(label)} as the first row`, 15_000, async () => {
      const [first = ''] = await this.rows();
      return typeof label === 'string' ? first === label : label.test(first);
    });
  }

  /** Waits for a row with this label and accepts it. */
  async acceptRow(label: string, timeout = 20_000): Promise<void> {
    const row = this.widget.locator('.quick-input-list .monaco-list-row', {
      has: this.#page.locator('.label-name', { hasText: exactly(label) }),
    });
    await row.first().click({ timeout });
  }

  /** Accepts the row that has the focus. */
  async accept(): Promise<void> {
    await this.#page.keyboard.press('Enter');
  }

  async hide(): Promise<void> {
    await this.#page.keyboard.press('Escape');
    await this.widget.waitFor({ state: 'hidden' });
  }
}

/** The workbench draws the spaces of a label as no-break spaces. */
function exactly(label: string): RegExp {
  const escaped = label.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll(' ', '\\s');
  return new RegExp(`^\\s*${escaped}\\s*$`);
}
