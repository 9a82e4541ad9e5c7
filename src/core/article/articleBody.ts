import type { Token } from 'markdown-it';
import type { Language } from '../library/language';
import { createMarkdown, type MarkdownEnvironment } from './markdown';
import { type SectionId, sectionOfHeading } from './sections';

export interface Heading {
  /** Anchor: a section id, or a section id and a number; the same in every language. */
  readonly id: string;
  readonly level: 2 | 3;
  /** Inline HTML of the heading, formulas included. */
  readonly html: string;
}

export interface ArticleBody {
  readonly html: string;
  readonly headings: readonly Heading[];
}

/** Renders the text of an article: one `<section>` for each `##`, questions folded, every heading with its anchor. */
export function renderArticleBody(text: string, language: Language, environment: MarkdownEnvironment): ArticleBody {
  const markdown = createMarkdown(environment);
  const tokens = markdown.parse(text, {});
  const headings: Heading[] = [];
  const parts: string[] = [];
  const fold = new Fold();
  let section: SectionId | undefined;
  let subheadings = 0;
  let pending: Token[] = [];

  const flush = () => {
    parts.push(markdown.renderer.render(pending, markdown.options, {}));
    pending = [];
  };

  for (let index = 0; index < tokens.length; index += 1) {
    const token = tokens[index];
    const inline = tokens[index + 1];
    if (token?.type !== 'heading_open' || !inline || (token.tag !== 'h2' && token.tag !== 'h3')) {
      if (token) {
        pending.push(token);
      }
      continue;
    }
    flush();
    const html = markdown.renderer.renderInline(inline.children ?? [], markdown.options, {});
    index += 2;
    if (token.tag === 'h2') {
      parts.push(fold.close(), section === undefined ? '' : '</section>\n');
      section = sectionOfHeading(inline.content, language);
      subheadings = 0;
      const id = section ?? `section-${headings.length}`;
      headings.push({ id, level: 2, html });
      parts.push(`<section aria-labelledby="${id}">\n<h2 id="${id}" tabindex="-1">${html}</h2>\n`);
      continue;
    }
    subheadings += 1;
    const id = `${section ?? 'section'}-${subheadings}`;
    headings.push({ id, level: 3, html });
    parts.push(section === 'questions' ? fold.open(id, html) : `<h3 id="${id}" tabindex="-1">${html}</h3>\n`);
  }
  flush();
  parts.push(fold.close(), section === undefined ? '' : '</section>\n');
  return { html: parts.join(''), headings };
}

/** A question with its answer folded below it. */
class Fold {
  #open = false;

  open(id: string, html: string): string {
    const before = this.close();
    this.#open = true;
    return `${before}<details id="${id}"><summary>${html}</summary>\n`;
  }

  close(): string {
    const end = this.#open ? '</details>\n' : '';
    this.#open = false;
    return end;
  }
}
