import type { Token } from 'markdown-it';
import type { Language } from '../library/language';
import { createMarkdown, type Markdown, type MarkdownEnvironment } from './markdown';
import { type SectionId, sectionOfHeading } from './sections';

export interface Heading {
  /** Anchor: a section id, or a section id and a number; the same in every language. */
  readonly id: string;
  readonly level: 2 | 3;
  /** Inline HTML of the heading, formulas included. */
  readonly html: string;
}

/** A part of an article whose formulas are not rendered before they are asked for. */
export interface ArticleSection {
  readonly headings: readonly Heading[];
  readonly render: () => string;
}

export interface ArticleBody {
  readonly html: string;
  readonly headings: readonly Heading[];
}

/** Renders the text of an article: one `<section>` for each `##`, questions folded, every heading with its anchor. */
export function renderArticleBody(text: string, language: Language, environment: MarkdownEnvironment): ArticleBody {
  const sections = articleSections(text, language, environment);
  return {
    html: sections.map((section) => section.render()).join(''),
    headings: sections.flatMap((section) => section.headings),
  };
}

/** The sections of an article's text, and before them what stands above the first `##`. */
export function articleSections(
  text: string,
  language: Language,
  environment: MarkdownEnvironment,
): readonly ArticleSection[] {
  const markdown = createMarkdown(environment);
  const [opening = [], ...rest] = splitAt(markdown.parse(text, {}), 'h2');
  const before = { headings: [], render: () => rendered(opening, markdown) };
  return [before, ...rest.map((tokens, index) => sectionOf(tokens, index, language, markdown))];
}

function sectionOf(tokens: readonly Token[], index: number, language: Language, markdown: Markdown): ArticleSection {
  const named: SectionId | undefined = sectionOfHeading(tokens[1]?.content ?? '', language);
  const id = named ?? `section-${index}`;
  const heading: Heading = { id, level: 2, html: inlineHtml(tokens[1], markdown) };
  const [opening = [], ...parts] = splitAt(tokens.slice(headingLength), 'h3');
  const subsections = parts.map((part, at) => ({
    heading: { id: `${named ?? 'section'}-${at + 1}`, level: 3, html: inlineHtml(part[1], markdown) } as const,
    tokens: part.slice(headingLength),
  }));
  const render = () => {
    const inner = subsections.map((part) => {
      const html = rendered(part.tokens, markdown);
      return named === 'questions' ? folded(part.heading, html) : `${headingHtml(part.heading)}${html}`;
    });
    return `<section aria-labelledby="${id}">\n${headingHtml(heading)}${rendered(opening, markdown)}${inner.join('')}</section>\n`;
  };
  return { headings: [heading, ...subsections.map((part) => part.heading)], render };
}

/** Tokens of a heading: its beginning, its text, its end. */
const headingLength = 3;

/** Cuts before each heading of a level; the first part is what stands before all of them. */
function splitAt(tokens: readonly Token[], tag: 'h2' | 'h3'): readonly (readonly Token[])[] {
  const starts = tokens.flatMap((token, at) => (token.type === 'heading_open' && token.tag === tag ? [at] : []));
  return [0, ...starts].map((start, at) => tokens.slice(start, starts[at] ?? tokens.length));
}

function rendered(tokens: readonly Token[], markdown: Markdown): string {
  return markdown.renderer.render([...tokens], markdown.options, {});
}

function inlineHtml(token: Token | undefined, markdown: Markdown): string {
  return markdown.renderer.renderInline(token?.children ?? [], markdown.options, {});
}

function headingHtml({ id, level, html }: Heading): string {
  return `<h${level} id="${id}" tabindex="-1">${html}</h${level}>\n`;
}

/** A question with its answer folded below it. */
function folded({ id, html }: Heading, answer: string): string {
  return `<details id="${id}"><summary>${html}</summary>\n${answer}</details>\n`;
}
