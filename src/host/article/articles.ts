import { lazy } from '../../core/lazy';
import type { Language } from '../../core/library/language';
import type { NoteLibrary } from '../../core/library/noteLibrary';
import type { Topic } from '../../core/library/topic';
import type { ArticleView, TopicLink } from '../../protocol/articleMessages';
import type { NoteFiles } from '../noteFiles';

/** Markdown-it, KaTeX and the highlighter are a chunk of their own, loaded when the first article opens. */
const loadRenderer = lazy(() => import('../../core/article/renderArticle'));

/** Reads and renders articles for the page. */
export class Articles {
  readonly #library: NoteLibrary;
  readonly #files: NoteFiles;

  constructor(library: NoteLibrary, files: NoteFiles) {
    this.#library = library;
    this.#files = files;
  }

  /** Starts loading the renderer, so that it is there when the page asks for its article. */
  prepare(): void {
    // A failure shows itself when the article is rendered.
    loadRenderer().catch(() => undefined);
  }

  async view(topic: Topic, language: Language, withOther = false): Promise<ArticleView> {
    const other: Language = language === 'en' ? 'zh-cn' : 'en';
    const [view, beside] = await Promise.all([
      this.#render(topic, language, await this.#files.article(topic, language)),
      withOther ? this.#render(topic, other, await this.#files.article(topic, other)) : undefined,
    ]);
    return beside ? { ...view, other: { language: other, html: beside.html } } : view;
  }

  /** What there is of a topic when its text cannot be read: title, references, related topics. */
  async viewWithoutText(topic: Topic, language: Language): Promise<ArticleView> {
    return this.#render(topic, language, undefined);
  }

  async #render(topic: Topic, language: Language, text: string | undefined): Promise<ArticleView> {
    const [renderer, sources] = await Promise.all([loadRenderer(), this.#files.sourcesOf(topic)]);
    const figures = text === undefined ? new Map<string, string>() : await this.#files.figuresOf(topic, sources);
    const { html, headings } = renderer.renderArticle({ topic, language, text, sources, figures }, this.#library);
    const { previous, next } = this.#library.neighboursOf(topic);
    return {
      topic: topic.id,
      language,
      title: topic.title[language],
      html,
      headings,
      breadcrumb: this.#library.pathOf(topic).map((category) => category.title[language]),
      previous: previous && linkTo(previous, language),
      next: next && linkTo(next, language),
    };
  }
}

function linkTo(topic: Topic, language: Language): TopicLink {
  return { id: topic.id, title: topic.title[language] };
}
