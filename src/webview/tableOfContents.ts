import type { ArticleView } from '../protocol/articleMessages';
import type { Position } from '../protocol/articleState';
import type { PageStrings } from '../protocol/pageStrings';
import { element } from './elements';
import { currentPosition } from './position';

/** The sections of the article; the one being read is marked. */
export class TableOfContents {
  readonly element: HTMLElement;
  readonly #list = element('ol');
  readonly #goTo: (position: Position) => void;
  readonly #links = new Map<string, HTMLAnchorElement>();

  constructor(strings: PageStrings, goTo: (position: Position) => void) {
    this.#goTo = goTo;
    this.element = element(
      'nav',
      { id: 'contents', 'aria-label': strings.contents },
      element('p', { class: 'contents-title', 'aria-hidden': 'true' }, strings.contents),
      this.#list,
    );
  }

  show(article: ArticleView): void {
    this.#links.clear();
    const sections = article.headings.filter((heading) => heading.level === 2);
    this.#list.replaceChildren(
      ...sections.map(({ id, html }) => {
        const link = element('a', { href: `#${id}` });
        link.innerHTML = html;
        link.addEventListener('click', (event) => {
          event.preventDefault();
          this.#goTo({ anchor: id, offset: 0 });
        });
        this.#links.set(id, link);
        return element('li', {}, link);
      }),
    );
    this.element.hidden = sections.length < 2;
  }

  /** Marks the section at the top of the window. */
  follow(): void {
    const section = currentPosition().anchor.replace(/-\d+$/, '');
    for (const [id, link] of this.#links) {
      if (id === section) {
        link.setAttribute('aria-current', 'location');
      } else {
        link.removeAttribute('aria-current');
      }
    }
  }
}
