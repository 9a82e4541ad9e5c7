import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Frame } from 'playwright-core';
import type { Workbench } from '../support/workbench';

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** The web workbench writes its storage every five seconds and not when the page goes away. */
export const storageFlush = 6000;

/** Opens the first topic that the search finds; its key is the same in every language. */
export async function takeFirst(workbench: Workbench, query: string): Promise<void> {
  await workbench.quickPick.typeInto(() => workbench.quickPick.openByKey('Control+Alt+/'), query);
  await workbench.quickPick.accept();
}

/** The heading that stands at the top of the window, by its anchor. */
export async function headingAtTop(article: Frame): Promise<string> {
  return article.evaluate(() => {
    const line = (document.querySelector('#top-bar')?.getBoundingClientRect().bottom ?? 0) + 32;
    const headings = [...document.querySelectorAll('#article [id]:is(h1, h2, h3, details)')];
    return headings.findLast((heading) => heading.getBoundingClientRect().top <= line)?.id ?? 'top';
  });
}

/**
 * What axe finds to complain of in a part of the page, or in all of it. The page's policy forbids scripts it does not know,
 * so axe is run by the debugger's evaluation.
 */
export async function violationsIn(article: Frame, part = 'html'): Promise<readonly string[]> {
  await article.evaluate(axeSource);
  return article.evaluate(async (selector) => {
    const { axe } = globalThis as unknown as {
      readonly axe: {
        readonly run: (where: unknown) => Promise<{
          readonly violations: readonly {
            readonly id: string;
            readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
          }[];
        }>;
      };
    };
    const { violations } = await axe.run(document.querySelector(selector));
    return violations.flatMap(({ id, nodes }) =>
      nodes.map((node) => `${id}: ${node.html.slice(0, 200)} ${node.failureSummary ?? ''}`),
    );
  }, part);
}
