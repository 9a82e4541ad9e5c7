import type { PageStrings } from '../protocol/pageStrings';
import { element, iconButton } from './elements';

/** Names under which article.css styles the matches. */
const [allMatches, currentMatch] = ['found', 'found-current'];

/** Find in the article. Our own, since the find widget of VS Code does not work in every host. */
export class FindBar {
  readonly element: HTMLElement;
  readonly #input: HTMLInputElement;
  readonly #count = element('span', { class: 'count', role: 'status' });
  readonly #strings: PageStrings;
  readonly #text: HTMLElement;
  #matches: Range[] = [];
  #at = 0;

  constructor(text: HTMLElement, strings: PageStrings) {
    this.#text = text;
    this.#strings = strings;
    this.#input = element('input', { type: 'text', 'aria-label': strings.find, placeholder: strings.find });
    this.#input.addEventListener('input', () => this.#search());
    this.element = element(
      'div',
      { id: 'find', role: 'search', hidden: true },
      this.#input,
      this.#count,
      iconButton('↑', strings.findPrevious, () => this.#go(-1)),
      iconButton('↓', strings.findNext, () => this.#go(1)),
      iconButton('✕', strings.close, () => this.close()),
    );
    this.element.addEventListener('keydown', (event) => this.#onKey(event));
  }

  open(): void {
    this.element.hidden = false;
    const selected = document.getSelection()?.toString().trim() ?? '';
    if (selected !== '' && !selected.includes('\n')) {
      this.#input.value = selected;
    }
    this.#input.select();
    this.#input.focus();
    this.#search();
  }

  /** Marks a text without taking the focus, and goes to the first place of it that follows an element. */
  mark(text: string, after: Element | null): void {
    this.element.hidden = false;
    this.#input.value = text;
    this.#search();
    const isAfter = ({ startContainer }: Range) =>
      after && after.compareDocumentPosition(startContainer) & Node.DOCUMENT_POSITION_FOLLOWING;
    this.#go(Math.max(0, this.#matches.findIndex(isAfter)));
    if (this.#matches.length === 0) {
      this.close();
    }
  }

  close(): void {
    this.element.hidden = true;
    this.#matches = [];
    this.#highlight();
  }

  /** Looks again after another article was put on the page. */
  refresh(): void {
    if (!this.element.hidden) {
      this.#search();
    }
  }

  #onKey(event: KeyboardEvent): void {
    if (event.key === 'Escape') {
      this.close();
    } else if (event.key === 'Enter') {
      this.#go(event.shiftKey ? -1 : 1);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #search(): void {
    const wanted = this.#input.value.toLowerCase();
    this.#matches = wanted === '' ? [] : rangesOf(this.#text, wanted);
    this.#at = 0;
    this.#show();
  }

  #go(step: number): void {
    const { length } = this.#matches;
    if (length > 0) {
      this.#at = (this.#at + step + length) % length;
      this.#show();
    }
  }

  #show(): void {
    const { length } = this.#matches;
    this.#count.textContent =
      length > 0 ? `${this.#at + 1}/${length}` : this.#input.value === '' ? '' : this.#strings.noResults;
    this.#highlight();
    const current = this.#matches[this.#at];
    const holder = current?.startContainer.parentElement;
    const folded = holder?.closest('details');
    if (folded) {
      folded.open = true;
    }
    holder?.scrollIntoView({ block: 'center' });
  }

  #highlight(): void {
    const current = this.#matches[this.#at];
    CSS.highlights.set(allMatches ?? '', new Highlight(...this.#matches));
    CSS.highlights.set(currentMatch ?? '', new Highlight(...(current ? [current] : [])));
  }
}

/** Where a text stands in the article; formulas are searched by what they show, not by their hidden MathML. */
function rangesOf(root: HTMLElement, wanted: string): Range[] {
  const ranges: Range[] = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT, (node) =>
    node.parentElement?.closest('.katex-mathml, button') ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT,
  );
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = node.nodeValue?.toLowerCase() ?? '';
    for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
      const range = document.createRange();
      range.setStart(node, at);
      range.setEnd(node, at + wanted.length);
      ranges.push(range);
    }
  }
  return ranges;
}
