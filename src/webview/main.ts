/** The article page's client: shows what the host sends, reports where the reader is, hands every link to the host. */
import type { ArticleView, ToPage } from '../protocol/articleMessages';
import type { ArticleState } from '../protocol/articleState';
import type { PageStrings } from '../protocol/pageStrings';
import { addCopyButtons } from './codeBlocks';
import { element } from './elements';
import { keepState, onHostMessage, tellHost } from './host';
import { currentPosition, openedParts, openParts, scrollTo } from './position';
import { TableOfContents } from './tableOfContents';
import { Toolbar } from './toolbar';

// The host writes the strings; they are data of our own, not a stranger's.
const strings = JSON.parse(document.body.dataset.strings ?? '{}') as PageStrings;
const toolbar = new Toolbar(strings);
const contents = new TableOfContents(strings);
const main = element(
  'main',
  { id: 'article', 'aria-busy': 'true' },
  element('p', { class: 'loading' }, strings.loading),
);
const neighbours = element('nav', { id: 'neighbours' });
let state: ArticleState | undefined;

document.body.append(
  toolbar.element,
  element('div', { id: 'page' }, element('div', { id: 'column' }, main, neighbours), contents.element),
);

onHostMessage((message: ToPage) => {
  switch (message.type) {
    case 'show':
      return show(message.article, message.state);
    case 'scrollTo':
      return scrollTo(message.position);
  }
});

function show(article: ArticleView, next: ArticleState): void {
  state = next;
  document.documentElement.lang = article.language === 'en' ? 'en' : 'zh-CN';
  document.title = article.title;
  main.innerHTML = article.html;
  main.dataset.topic = article.topic;
  main.lang = document.documentElement.lang;
  main.removeAttribute('aria-busy');
  for (const link of main.querySelectorAll<HTMLAnchorElement>('a[data-external]')) {
    link.title = `${link.href} (${strings.opensOutside})`;
  }
  addCopyButtons(main, strings);
  toolbar.show(article, next);
  contents.show(article);
  showNeighbours(article);
  openParts(next.opened);
  scrollTo(next.place);
  contents.follow();
  keepState(next);
  // Two frames: the first is about to paint, in the second it has.
  requestAnimationFrame(() => requestAnimationFrame(() => tellHost({ type: 'painted', topic: article.topic })));
  // Fonts change the height of formulas; keep the heading where it is.
  void document.fonts.ready.then(() => state === next && scrollTo(next.place));
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

document.addEventListener('click', (event) => {
  const link = event.target instanceof Element ? event.target.closest('a') : null;
  if (!link) {
    return;
  }
  event.preventDefault();
  const { topic, anchor, external } = link.dataset;
  if (topic !== undefined) {
    tellHost({
      type: 'openTopic',
      topic,
      ...(anchor === undefined ? {} : { anchor }),
      beside: event.ctrlKey || event.metaKey,
    });
  } else if (external !== undefined) {
    tellHost({ type: 'openExternal', url: link.href });
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

tellHost({ type: 'ready' });
