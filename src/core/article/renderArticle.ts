import { docsLink } from '../library/docsLink';
import type { Language } from '../library/language';
import type { NoteLibrary } from '../library/noteLibrary';
import type { Paper, Reference, Topic, TopicSources } from '../library/topic';
import { type ArticleSection, articleSections, type Heading } from './articleBody';
import { escapeHtml } from './highlight';
import { headingOf } from './sections';

export { renderMissingTopic } from './missingTopic';

/** Everything an article is made of; the text is missing where a topic is not written yet. */
export interface ArticleParts {
  readonly topic: Topic;
  readonly language: Language;
  readonly text: string | undefined;
  readonly sources: TopicSources;
  readonly figures: ReadonlyMap<string, string>;
}

/** Words that stand in the article itself, in the article's language. */
const words = {
  en: {
    notWritten: 'The article on this topic is not written yet. Here is what the field guide has so far.',
    prerequisites: 'Read first',
    papers: 'Papers',
    furtherReading: 'Further reading',
    pageTitle: 'the page itself is titled',
    'zh-cn': 'Chinese',
    en: 'English',
  },
  'zh-cn': {
    notWritten: '本主题的正文尚未写成，以下是目前已有的内容。',
    prerequisites: '先读',
    papers: '论文',
    furtherReading: '延伸阅读',
    pageTitle: '原页面标题',
    'zh-cn': '中文',
    en: '英文',
  },
} as const;

export interface RenderedArticle {
  /** The title and the first sections: what a window shows at once. */
  readonly opening: string;
  readonly headings: readonly Heading[];
  /** Renders what follows the opening. */
  readonly rest: () => string;
}

/** Sections of the opening: the line and its table, and the picture. */
const openingSections = 2;

/** Renders a topic's article with its title, references and related topics. */
export function renderArticle(parts: ArticleParts, library: NoteLibrary): RenderedArticle {
  const { topic, language, text, sources } = parts;
  const [before, ...body] = articleSections(text ?? '', language, {
    figures: figuresIn(language, parts),
    hasTopic: (id) => library.topic(id) !== undefined,
  });
  const appendix = [
    appendixSection('references', language, sourceLists(sources, language)),
    appendixSection('related', language, relatedTopics(topic, language, library)),
  ].filter((part) => part !== undefined);
  const sections = [...body, ...appendix];
  const render = (some: readonly ArticleSection[]) => some.map((section) => section.render()).join('');
  return {
    opening: [
      header(topic, language, library, text === undefined),
      before?.render() ?? '',
      render(sections.slice(0, openingSections)),
    ].join(''),
    headings: sections.flatMap((section) => section.headings),
    rest: () => render(sections.slice(openingSections)),
  };
}

function header(topic: Topic, language: Language, library: NoteLibrary, isStub: boolean): string {
  const other: Language = language === 'en' ? 'zh-cn' : 'en';
  const prerequisites = topicLinks(topic.prerequisites, language, library);
  return [
    '<header>',
    `<h1 id="top" tabindex="-1">${escapeHtml(topic.title[language])} <span class="other-title" lang="${other}">${escapeHtml(topic.title[other])}</span></h1>`,
    isStub && topic.summary ? `<p class="summary">${escapeHtml(topic.summary[language])}</p>` : '',
    symbolLinks(topic),
    prerequisites ? `<p class="prerequisites">${words[language].prerequisites}: ${prerequisites}</p>` : '',
    isStub ? `<p class="not-written">${words[language].notWritten}</p>` : '',
    '</header>\n',
  ].join('\n');
}

function symbolLinks(topic: Topic): string {
  const chips = topic.symbols.map((symbol) => {
    const url = docsLink(symbol);
    const name = `<code>${escapeHtml(symbol)}</code>`;
    return `<li>${url ? `<a href="${escapeHtml(url)}" data-external>${name}</a>` : name}</li>`;
  });
  return chips.length ? `<ul class="symbols">${chips.join('')}</ul>` : '';
}

function topicLinks(ids: readonly string[], language: Language, library: NoteLibrary): string {
  return ids
    .flatMap((id) => library.topic(id) ?? [])
    .map((topic) => `<a href="#" data-topic="${topic.id}">${escapeHtml(topic.title[language])}</a>`)
    .join(', ');
}

function relatedTopics(topic: Topic, language: Language, library: NoteLibrary): string {
  const items = topic.related
    .flatMap((id) => library.topic(id) ?? [])
    .map(
      (related) =>
        `<li><a href="#" data-topic="${related.id}">${escapeHtml(related.title[language])}</a>${
          related.summary ? `<span class="why">${escapeHtml(related.summary[language])}</span>` : ''
        }</li>`,
    );
  return items.length ? `<ul class="related">${items.join('')}</ul>` : '';
}

function sourceLists(sources: TopicSources, language: Language): string {
  const papers = sources.papers.map((paper) => paperItem(paper));
  const references = sources.references.map((reference) => referenceItem(reference, language));
  return [
    papers.length ? `<h3>${words[language].papers}</h3><ul class="sources">${papers.join('')}</ul>` : '',
    references.length
      ? `<h3>${words[language].furtherReading}</h3><ul class="sources">${references.join('')}</ul>`
      : '',
  ].join('');
}

function paperItem(paper: Paper): string {
  return `<li><a href="${escapeHtml(paper.url)}" data-external>${escapeHtml(paper.title)}</a> <span class="origin">${escapeHtml(paper.authors)}, ${paper.year}</span></li>`;
}

function referenceItem(reference: Reference, language: Language): string {
  const named = words[language];
  const titles = [reference.title, ...(reference.alsoTitled ?? [])].map(escapeHtml).join(' · ');
  const own = reference.pageTitle
    ? ` <span class="page-title">(${named.pageTitle}: ${escapeHtml(reference.pageTitle)})</span>`
    : '';
  const remark = reference.remark ? ` <span class="remark">${escapeHtml(reference.remark)}</span>` : '';
  return `<li><a href="${escapeHtml(reference.url)}" data-external>${titles}</a>${own} <span class="origin">${escapeHtml(hostOf(reference.url))}</span> <span class="badge">${named[reference.language]}</span>${remark}</li>`;
}

/** The host name a reader recognizes, without a leading `www.`. */
export function hostOf(url: string): string {
  return /^https?:\/\/(?:www\.)?([^/:?#]+)/.exec(url)?.[1] ?? url;
}

function appendixSection(id: 'references' | 'related', language: Language, html: string): ArticleSection | undefined {
  if (html === '') {
    return undefined;
  }
  const title = headingOf(id, language);
  return {
    headings: [{ id, level: 2, html: title }],
    render: () => `<section aria-labelledby="${id}"><h2 id="${id}" tabindex="-1">${title}</h2>${html}</section>\n`,
  };
}

/** The figures with their labels in the article's language. */
function figuresIn(language: Language, { figures, sources }: ArticleParts): ReadonlyMap<string, string> {
  if (language === 'en') {
    return figures;
  }
  const labels = new Map(sources.figures.map((figure) => [figure.file, figure.labels ?? {}]));
  return new Map([...figures].map(([file, svg]) => [file, withLabels(svg, labels.get(file) ?? {})]));
}

function withLabels(svg: string, labels: Readonly<Record<string, string>>): string {
  return svg.replace(/>([^<>]+)<\/(text|tspan)>/g, (whole, label: string, tag: string) => {
    const translated = labels[unescaped(label.trim())];
    return translated === undefined ? whole : `>${escapeHtml(translated)}</${tag}>`;
  });
}

function unescaped(text: string): string {
  return text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
}
