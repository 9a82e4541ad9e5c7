import { appendFileSync } from 'node:fs';
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
  await context.addInitScript(watchTopic);
}

/** Runs in every frame. */
function watchTopic(): void {
  if (!location.href.includes('fake.html')) return;
  let shown: string | undefined;
  const now = () => performance.timeOrigin + performance.now();
  const twoFrames = (then: () => void) => requestAnimationFrame(() => requestAnimationFrame(then));
  const look = () => {
    const topic = document.querySelector('main#article')?.getAttribute('data-topic');
    if (typeof topic === 'string' && topic !== shown) {
      shown = topic;
      const ready = now();
      const report = () =>
        (globalThis as unknown as { reportPaint(paint: Paint): void }).reportPaint({ topic, ready, painted: now() });
      // A layout asks for the fonts, and the frame after their arrival shows them.
      requestAnimationFrame(() => void document.fonts.ready.then(() => twoFrames(report)));
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}
