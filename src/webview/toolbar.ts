import type { ArticleView } from '../protocol/articleMessages';
import type { ArticleState } from '../protocol/articleState';
import type { PageStrings } from '../protocol/pageStrings';
import { element, iconButton } from './elements';
import { tellHost } from './host';

/** History, breadcrumb, search and language: the row above the article. */
export class Toolbar {
  readonly element: HTMLElement;
  readonly #back: HTMLButtonElement;
  readonly #forward: HTMLButtonElement;
  readonly #language: HTMLButtonElement;
  readonly #breadcrumb = element('nav', { class: 'breadcrumb' });

  constructor(strings: PageStrings) {
    this.#back = iconButton('←', strings.back, () => tellHost({ type: 'goBack' }));
    this.#forward = iconButton('→', strings.forward, () => tellHost({ type: 'goForward' }));
    this.#language = iconButton('', strings.switchLanguage, () => tellHost({ type: 'switchLanguage' }));
    const search = iconButton('⌕', strings.search, () => tellHost({ type: 'search' }));
    this.element = element(
      'div',
      { id: 'toolbar', role: 'toolbar', 'aria-label': 'ML Field Notes' },
      this.#back,
      this.#forward,
      this.#breadcrumb,
      search,
      this.#language,
    );
  }

  show(article: ArticleView, state: ArticleState): void {
    this.#back.disabled = state.back.length === 0;
    this.#forward.disabled = state.forward.length === 0;
    this.#language.textContent = article.language === 'en' ? '中文' : 'EN';
    this.#breadcrumb.setAttribute('aria-label', article.breadcrumb.join(' › '));
    this.#breadcrumb.replaceChildren(...article.breadcrumb.map((title) => element('span', {}, title)));
  }
}
