import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BrowserContext } from 'playwright-core';

/** When a page with `main#article` stood in its frame and when it was painted: milliseconds since 1970. */
export interface Paint {
  readonly topic: string;
  readonly ready: number;
  readonly painted: number;
}

/**
 * Watches every webview from outside, so that the article page and the trivial page of the floor are timed by the same
 * eyes, and writes a line for each painted topic to a file, in which the measuring suite waits for it.
 */
export async function observePaints(context: BrowserContext, file: string): Promise<void> {
  await context.exposeFunction('reportPaint', (paint: Paint) => appendFileSync(file, `${JSON.stringify(paint)}\n`));
  await context.addInitScript({ path: join(import.meta.dirname, 'paintWatcher.js') });
}
