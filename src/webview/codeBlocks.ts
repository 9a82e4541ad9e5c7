import type { PageStrings } from '../protocol/pageStrings';
import { iconButton } from './elements';

/** Gives each code block a button that copies it. */
export function addCopyButtons(article: HTMLElement, strings: PageStrings): void {
  for (const block of article.querySelectorAll<HTMLElement>('.code')) {
    const button = iconButton('⧉', strings.copyCode, () => {
      void navigator.clipboard.writeText(block.querySelector('code')?.textContent ?? '').then(() => {
        button.textContent = '✓';
        button.setAttribute('aria-label', strings.copied);
        setTimeout(() => {
          button.textContent = '⧉';
          button.setAttribute('aria-label', strings.copyCode);
        }, 1500);
      });
    });
    block.append(button);
  }
}
