/** The article page's client: shows what the host sends, reports where the reader is, hands every link to the host. */
import type { Appearance, ArticleView, ToPage } from '../protocol/articleMessages';
import type { ArticleState } from '../protocol/articleState';
import type { PageStrings } from '../protocol/pageStrings';
import { addBlockActions } from './blockActions';
import { besideEachOther } from './bothLanguages';
import { element } from './elements';
import { FindBar } from './findBar';
import { keepState, onHostMessage, tellHost } from './host';
import { currentPosition, openedParts, openParts, scrollTo } from './position';
import { TableOfContents } from './tableOfContents';
import { Toolbar } from './toolbar';

// The host writes the strings; they are data of our own, not a stranger's.
const strings = JSON.parse(document.body.dataset.strings ?? '{}') as PageStrings;
const main = element(
  'main',
  { id: 'article', 'aria-busy': 'true' },
  element('p', { class: 'loading' }, strings.loading),
);
const find = new FindBar(main, strings);
const toolbar = new Toolbar(strings, () => find.open());
const contents = new TableOfContents(strings);
const neighbours = element('nav', { id: 'neighbours' });
let state: ArticleState | undefined;

document.body.append(
  element('header', { id: 'top-bar' }, toolbar.element, find.element),
  element('div', { id: 'page' }, element('div', { id: 'column' }, main, neighbours), contents.element),
);

onHostMessage((message: ToPage) => {
  switch (message.type) {
    case 'show':
      applyAppearance(message.appearance);
      toolbar.showMark(message.mark);
      return show(message.article, message.state);
    case 'appearance':
      return keepingPlace(() => applyAppearance(message.appearance));
    case 'mark':
      return message.topic === state?.place.topic ? toolbar.showMark(message.mark) : undefined;
    case 'scrollTo':
      return scrollTo(message.position);
    case 'find':
      return find.mark(message.text, document.getElementById(state?.place.anchor ?? ''));
  }
});

function show(article: ArticleView, next: ArticleState): void {
  state = next;
  document.documentElement.lang = article.language === 'en' ? 'en' : 'zh-CN';
  document.title = article.title;
  if (article.other) {
    main.replaceChildren(...besideEachOther(article));
  } else {
    main.innerHTML = article.html;
  }
  document.body.classList.toggle('both', article.other !== undefined);
  main.dataset.topic = article.topic;
  main.lang = document.documentElement.lang;
  main.removeAttribute('aria-busy');
  for (const link of main.querySelectorAll<HTMLAnchorElement>('a[data-external]')) {
    link.title = `${link.href} (${strings.opensOutside})`;
  }
  addBlockActions(main, strings);
  toolbar.show(article, next);
  contents.show(article);
  showNeighbours(article);
  openParts(next.opened);
  find.refresh();
  scrollTo(next.place);
  contents.follow();
  keepState(next);
  // Two frames: the first is about to paint, in the second it has.
  requestAnimationFrame(() => requestAnimationFrame(() => tellHost({ type: 'painted', topic: article.topic })));
  // Fonts change the height of formulas; keep the heading where it is.
  void document.fonts.ready.then(() => state === next && scrollTo(next.place));
}

function applyAppearance({ fontSize, width }: Appearance): void {
  const { style } = document.documentElement;
  style.setProperty('--article-font-size', fontSize > 0 ? `${fontSize}px` : null);
  style.setProperty('--article-width', `${width}em`);
}

/** Changes the layout without losing the line that the reader is at. */
function keepingPlace(change: () => void): void {
  const position = currentPosition();
  change();
  scrollTo(position);
}

function showNeighbours({ previous, next }: ArticleView): void {
  const links = [
    previous &&
      element(
        'a',
        { href: '#', 'data-topic': previous.id, rel: 'prev', title: strings.previous },
        `← ${previous.title}`,
      ),
    next && element('a', { href: '#', 'data-topic': next.id, rel: 'next', title: strings.next }, `${next.title} →`),
  ];
  neighbours.setAttribute('aria-label', `${strings.previous}, ${strings.next}`);
  neighbours.replaceChildren(...links.filter((link) => link !== undefined));
}

function follow(link: HTMLAnchorElement, beside: boolean): void {
  const { topic, anchor, external } = link.dataset;
  if (topic !== undefined) {
    tellHost({ type: 'openTopic', topic, ...(anchor === undefined ? {} : { anchor }), beside });
  } else if (external !== undefined) {
    tellHost({ type: 'openExternal', url: link.href });
  }
}

document.addEventListener('click', (event) => {
  const link = event.target instanceof Element ? event.target.closest('a') : null;
  if (link) {
    event.preventDefault();
    follow(link, event.ctrlKey || event.metaKey);
  }
});

document.addEventListener('keydown', (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === 'f') {
    event.preventDefault();
    find.open();
  }
});

// Mouse buttons four and five, as in a browser.
document.addEventListener('mouseup', (event) => {
  if (event.button === 3) {
    tellHost({ type: 'goBack' });
  } else if (event.button === 4) {
    tellHost({ type: 'goForward' });
  }
});

let reporting = 0;

/** Tells the host where the reader is, once the scrolling rests. */
function reportSoon(): void {
  window.clearTimeout(reporting);
  reporting = window.setTimeout(() => {
    if (state) {
      const position = currentPosition();
      state = { ...state, place: { ...position, topic: state.place.topic }, opened: openedParts() };
      keepState(state);
      tellHost({ type: 'moved', topic: state.place.topic, position, opened: state.opened });
    }
  }, 120);
}

window.addEventListener(
  'scroll',
  () => {
    contents.follow();
    reportSoon();
  },
  { passive: true },
);
document.addEventListener('toggle', reportSoon, true);

let frame = 0;

// A panel that is made narrower keeps its line as well; VS Code sizes a hidden panel down to nothing, which must not count.
window.addEventListener('resize', () => {
  const place = state?.place;
  cancelAnimationFrame(frame);
  if (place && window.innerHeight > 200) {
    frame = requestAnimationFrame(() => scrollTo(place));
  }
});

tellHost({ type: 'ready' });
