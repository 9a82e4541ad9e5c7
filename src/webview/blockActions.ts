import type { PageStrings } from '../protocol/pageStrings';
import { element, iconButton } from './elements';
import { tellHost } from './host';

/** Gives code blocks and display formulas their buttons: copy, insert at the cursor. */
export function addBlockActions(article: ParentNode, strings: PageStrings): void {
  for (const block of article.querySelectorAll<HTMLElement>('.code')) {
    const code = block.querySelector('code')?.textContent ?? '';
    block.append(
      element(
        'div',
        { class: 'actions' },
        iconButton('↵', strings.insertCode, () => tellHost({ type: 'insertCode', code })),
        copyButton(code, strings.copyCode, strings),
      ),
    );
  }
  for (const formula of article.querySelectorAll<HTMLElement>('.katex-display')) {
    const tex = formula.querySelector('annotation[encoding="application/x-tex"]')?.textContent?.trim();
    if (tex) {
      const holder = element('div', { class: 'formula' });
      formula.replaceWith(holder);
      holder.append(formula, element('div', { class: 'actions' }, copyButton(tex, strings.copyFormula, strings)));
      formula.tabIndex = 0;
    }
  }
}

/** The host writes to the clipboard: a page may not in every host. */
function copyButton(text: string, label: string, strings: PageStrings): HTMLButtonElement {
  const button = iconButton('⧉', label, () => {
    tellHost({ type: 'copy', text });
    button.textContent = '✓';
    button.setAttribute('aria-label', strings.copied);
    setTimeout(() => {
      button.textContent = '⧉';
      button.setAttribute('aria-label', label);
    }, 1500);
  });
  return button;
}
