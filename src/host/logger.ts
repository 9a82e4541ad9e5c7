import * as vscode from 'vscode';

/** The extension's log, and the one way to tell the user of a failure. */
export class Logger {
  readonly #channel = vscode.window.createOutputChannel('ML Field Notes', { log: true });
  readonly #told = new Set<string>();

  info(message: string): void {
    this.#channel.info(message);
  }

  /** Writes the details down without interrupting anyone. */
  error(what: string, error: unknown): void {
    this.#channel.error(`${what}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  }

  /** Tells the user once what failed and what to do; the details are in the log. */
  tell(message: string, error: unknown): void {
    this.error(message, error);
    if (this.#told.has(message)) {
      return;
    }
    this.#told.add(message);
    const show = vscode.l10n.t('Show Log');
    void vscode.window.showErrorMessage(message, show).then((choice) => {
      if (choice === show) {
        this.#channel.show();
      }
    });
  }

  dispose(): void {
    this.#channel.dispose();
  }
}
