/** The article page's client: shows what the host sends, reports where the reader is, hands every link to the host. */
import type { RawInputs } from '../core/calculator/readInputs';
import { type Appearance, type ArticleView, type Showing, showingKey, type ToPage } from '../protocol/articleMessages';
import type { ArticleState, Position } from '../protocol/articleState';
import type { PageStrings } from '../protocol/pageStrings';
import { calculated } from '../protocol/readingHistory';
import { addBlockActions } from './blockActions';
import { besideEachOther } from './bothLanguages';
import { fillCalculators } from './calculators';
import { element } from './elements';
import { FindBar } from './findBar';
import { keepState, keptState, onHostMessage, tellHost } from './host';
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
const contents = new TableOfContents(strings, goTo);
const neighbours = element('nav', { id: 'neighbours' });
let state: ArticleState | undefined;
/** When the article shown last is on the screen; what follows its opening waits for that. */
let painted: Promise<void> = Promise.resolve();
/** Where the reader wanted to go before that part of the article was there. */
let wanted: Position | undefined;

document.body.append(
  element('header', { id: 'top-bar' }, toolbar.element, find.element),
  element('div', { id: 'page' }, element('div', { id: 'column' }, main, neighbours), contents.element),
);

onHostMessage((message: ToPage) => {
  switch (message.type) {
    case 'show':
      return show(message.showing);
    case 'rest':
      return void painted.then(() => message.key === shownKey() && showRest(message.html));
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

function show({ article, state: next, appearance, mark }: Showing): void {
  state = next;
  wanted = undefined;
  applyAppearance(appearance);
  toolbar.showMark(mark);
  document.documentElement.lang = article.language === 'en' ? 'en' : 'zh-CN';
  document.title = article.title;
  if (article.other) {
    main.replaceChildren(...besideEachOther(article));
  } else {
    main.innerHTML = article.html;
  }
  document.body.classList.toggle('both', article.other !== undefined);
  main.dataset.topic = article.topic;
  main.toggleAttribute('data-whole', article.isWhole);
  main.lang = document.documentElement.lang;
  main.removeAttribute('aria-busy');
  furnish(main);
  toolbar.show(article, next);
  contents.show(article);
  showNeighbours(article);
  openParts(next.opened);
  find.refresh();
  scrollTo(next.place);
  keepState(next);
  painted = afterPaint();
  void painted.then(() => {
    contents.follow();
    tellHost({ type: 'painted', topic: article.topic });
  });
  // Fonts change the height of formulas; keep the heading where it is.
  void document.fonts.ready.then(() => state === next && scrollTo(next.place));
  showCalculators(next.place);
}

function shownKey(): string | undefined {
  return state && showingKey(state);
}

/** Callbacks of a frame run before it is painted, and a message that they send arrives after that. */
async function afterPaint(): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  requestAnimationFrame(() => port2.postMessage(undefined));
  return new Promise((resolve) => {
    port1.onmessage = () => resolve();
  });
}

/** Adds what follows the opening, unless it is there. */
function showRest(html: string): void {
  if (main.hasAttribute('data-whole')) {
    return;
  }
  const rest = element('template');
  rest.innerHTML = html;
  furnish(rest.content);
  main.append(rest.content);
  main.toggleAttribute('data-whole', true);
  find.refresh();
  if (wanted) {
    goTo(wanted);
  }
  contents.follow();
  showCalculators(currentPosition());
}

/** Takes the reader, and the keyboard, to a heading. */
function goTo(position: Position): void {
  const heading = document.getElementById(position.anchor);
  wanted = heading || main.hasAttribute('data-whole') ? undefined : position;
  if (!wanted) {
    scrollTo(position);
    heading?.focus({ preventScroll: true });
  }
}

/** Puts calculators into the article; the reader, who is at `place`, keeps the line that is read. */
function showCalculators(place: Position): void {
  const topic = state?.place.topic ?? '';
  const before = window.scrollY;
  const changed = (calculator: string, inputs: RawInputs) => {
    if (state) {
      state = calculated(state, topic, calculator, inputs);
      keepState(state);
      tellHost({ type: 'calculated', topic, calculator, inputs });
    }
  };
  void fillCalculators(main, state?.calculators[topic] ?? {}, changed, (fill) => {
    if (window.scrollY === before) {
      fill();
      scrollTo(place);
    } else {
      keepingPlace(fill);
    }
  });
}

/** Gives links their titles and blocks their buttons. */
function furnish(part: ParentNode): void {
  for (const link of part.querySelectorAll<HTMLAnchorElement>('a[data-external]')) {
    link.title = `${link.href} (${strings.opensOutside})`;
  }
  addBlockActions(part, strings);
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
  } else if (link.dataset.search !== undefined) {
    tellHost({ type: 'search' });
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
  reporting = window.setTimeout(report, 120);
}

function report(): void {
  window.clearTimeout(reporting);
  if (state) {
    const position = currentPosition();
    state = { ...state, place: { ...position, topic: state.place.topic }, opened: openedParts() };
    keepState(state);
    tellHost({ type: 'moved', topic: state.place.topic, position, opened: state.opened });
  }
}

/** What the reader does next (go back, switch the language) starts from where the reader is now. */
function reportBeforeAction(): void {
  const { anchor, offset } = currentPosition();
  if (anchor !== state?.place.anchor || offset !== state.place.offset) {
    report();
  }
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
document.addEventListener('pointerdown', reportBeforeAction, true);
document.addEventListener('keydown', reportBeforeAction, true);

let frame = 0;

// A panel that is made narrower keeps its line as well; VS Code sizes a hidden panel down to nothing, which must not count.
window.addEventListener('resize', () => {
  const place = state?.place;
  cancelAnimationFrame(frame);
  if (place && window.innerHeight > 200) {
    frame = requestAnimationFrame(() => scrollTo(place));
  }
});

/**
 * Shows the article that the host wrote into the page. A page that was hidden is made again as it was: then the state that
 * it kept says whether the reader went on to another article, or to a place that is not in the opening.
 */
function showWritten(): void {
  const written = JSON.parse(document.getElementById('showing')?.textContent ?? 'null') as Showing | null;
  const kept = keptState();
  const isSame = written && (!kept || showingKey(kept) === showingKey(written.state));
  const isAtTop = !kept || (kept.place.anchor === 'top' && kept.place.offset === 0 && kept.opened.length === 0);
  if (isSame && (written.article.isWhole || isAtTop)) {
    show({ ...written, state: kept ?? written.state });
  }
}

showWritten();
const shows = shownKey();
tellHost({ type: 'ready', ...(shows === undefined ? {} : { shows }) });
