import type { Page } from 'playwright-core';
import { until } from './until';

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Where the middle of a text stands on the screen, in the visible lines of the editors. */
export async function pointOf(page: Page, text: string): Promise<Point> {
  return until(
    `the text ${text} in an editor`,
    20_000,
    () => page.evaluate(`(${findText.toString()})(${JSON.stringify(text)})`) as Promise<Point | undefined>,
  );
}

/** Runs in the page. An editor splits a line into elements by colour, so the text may begin and end in different ones. */
function findText(text: string): Point | undefined {
  for (const line of document.querySelectorAll('.editor-instance .view-line')) {
    const start = (line.textContent ?? '').replaceAll('\u00a0', ' ').indexOf(text);
    if (start < 0) continue;
    const range = document.createRange();
    let passed = 0;
    const walker = document.createTreeWalker(line, 4);
    while (walker.nextNode() !== null) {
      const node = walker.currentNode as Text;
      const end = passed + node.data.length;
      if (start >= passed && start < end) range.setStart(node, start - passed);
      if (start + text.length > passed && start + text.length <= end) range.setEnd(node, start + text.length - passed);
      passed = end;
    }
    const box = range.getBoundingClientRect();
    return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  }
  return undefined;
}
