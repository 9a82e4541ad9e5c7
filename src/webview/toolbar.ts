import type { ArticleView, TopicMark } from '../protocol/articleMessages';
import type { ArticleState } from '../protocol/articleState';
import type { PageStrings } from '../protocol/pageStrings';
import { element, iconButton } from './elements';
import { tellHost } from './host';

/** History, breadcrumb, marks, search and language: the row above the article. */
export class Toolbar {
  readonly element: HTMLElement;
  readonly #strings: PageStrings;
  readonly #back: HTMLButtonElement;
  readonly #forward: HTMLButtonElement;
  readonly #saved: HTMLButtonElement;
  readonly #read: HTMLButtonElement;
  readonly #both: HTMLButtonElement;
  readonly #language: HTMLButtonElement;
  readonly #breadcrumb = element('nav', { class: 'breadcrumb' });

  constructor(strings: PageStrings, find: () => void) {
    this.#strings = strings;
    this.#back = iconButton('←', strings.back, () => tellHost({ type: 'goBack' }));
    this.#forward = iconButton('→', strings.forward, () => tellHost({ type: 'goForward' }));
    this.#saved = iconButton('☆', strings.save, () => tellHost({ type: 'toggleSaved' }));
    this.#read = iconButton('○', strings.markRead, () => tellHost({ type: 'toggleRead' }));
    this.#both = iconButton('◫', strings.both, () => tellHost({ type: 'toggleBoth' }));
    this.#language = iconButton('', strings.switchLanguage, () => tellHost({ type: 'switchLanguage' }));
    this.element = element(
      'div',
      { id: 'toolbar', role: 'toolbar', 'aria-label': 'ML Field Notes' },
      this.#back,
      this.#forward,
      this.#breadcrumb,
      this.#saved,
      this.#read,
      iconButton('⌕', `${strings.find} (Ctrl+F)`, find),
      iconButton('☰', strings.search, () => tellHost({ type: 'search' })),
      iconButton('⤓', strings.export, () => tellHost({ type: 'export' })),
      this.#both,
      this.#language,
    );
  }

  show(article: ArticleView, state: ArticleState): void {
    this.#back.disabled = state.back.length === 0;
    this.#forward.disabled = state.forward.length === 0;
    this.#both.setAttribute('aria-pressed', String(state.both));
    const other = article.language === 'en' ? '中文' : 'EN';
    relabel(this.#language, other, `${this.#strings.switchLanguage}: ${other}`);
    this.#breadcrumb.setAttribute('aria-label', article.breadcrumb.join(' › '));
    this.#breadcrumb.replaceChildren(...article.breadcrumb.map((title) => element('span', {}, title)));
  }

  showMark({ saved, read }: TopicMark): void {
    relabel(this.#saved, saved ? '★' : '☆', saved ? this.#strings.unsave : this.#strings.save);
    relabel(this.#read, read ? '✓' : '○', read ? this.#strings.markUnread : this.#strings.markRead);
  }
}

function relabel(button: HTMLButtonElement, glyph: string, label: string): void {
  button.textContent = glyph;
  button.title = label;
  button.setAttribute('aria-label', label);
}
