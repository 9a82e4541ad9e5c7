import { lazy } from '../../core/lazy';
import type { Language } from '../../core/library/language';
import type { NoteLibrary } from '../../core/library/noteLibrary';
import type { Topic } from '../../core/library/topic';
import type { ArticleView, TopicLink } from '../../protocol/articleMessages';
import type { NoteFiles } from '../noteFiles';
import type { TopicFinder } from '../search/topicFinder';

/** Markdown-it, KaTeX and the highlighter are a chunk of their own, loaded when the first article opens. */
const loadRenderer = lazy(() => import('../../core/article/renderArticle'));

/** An article for the page; where only its opening is rendered, with the way to what follows. */
export interface ReadArticle {
  readonly view: ArticleView;
  readonly rest?: (() => string) | undefined;
}

/** How much of an article is wanted: its opening is there sooner, and shown while the rest is rendered. */
export type Extent = 'whole' | 'opening';

/** How many topics are offered in place of one that is not there. */
const similarTopics = 5;

/** Reads and renders articles for the page. */
export class Articles {
  readonly #library: NoteLibrary;
  readonly #files: NoteFiles;
  readonly #finder: TopicFinder;

  constructor(library: NoteLibrary, files: NoteFiles, finder: TopicFinder) {
    this.#library = library;
    this.#files = files;
    this.#finder = finder;
  }

  /** Starts loading the renderer, so that it is there when the page asks for its article. */
  prepare(): void {
    // A failure shows itself when the article is rendered.
    loadRenderer().catch(() => undefined);
  }

  async read(topic: Topic, language: Language, extent: Extent): Promise<ReadArticle> {
    return this.#read(topic, language, await this.#files.article(topic, language), extent);
  }

  async view(topic: Topic, language: Language): Promise<ArticleView> {
    return (await this.read(topic, language, 'whole')).view;
  }

  /** The article with its other language, to stand beside it. */
  async viewOfBoth(topic: Topic, language: Language): Promise<ArticleView> {
    const other: Language = language === 'en' ? 'zh-cn' : 'en';
    const [view, beside] = await Promise.all([this.view(topic, language), this.view(topic, other)]);
    return { ...view, other: { language: other, html: beside.html } };
  }

  /** What there is to say of a topic that is not there. */
  async viewOfMissing(id: string, language: Language): Promise<ArticleView> {
    const [{ renderMissingTopic }, found] = await Promise.all([
      loadRenderer(),
      this.#finder.find(id.replaceAll('-', ' ')).catch(() => []),
    ]);
    const similar = found.slice(0, similarTopics).map(({ topic }) => topic);
    const { title, html } = renderMissingTopic(id, similar, language);
    return { topic: id, language, title, html, isWhole: true, headings: [], breadcrumb: [] };
  }

  /** What there is of a topic when its text cannot be read: title, references, related topics. */
  async viewWithoutText(topic: Topic, language: Language): Promise<ArticleView> {
    return (await this.#read(topic, language, undefined, 'whole')).view;
  }

  async #read(topic: Topic, language: Language, text: string | undefined, extent: Extent): Promise<ReadArticle> {
    const [renderer, sources, figures] = await Promise.all([
      loadRenderer(),
      this.#files.sourcesOf(topic),
      text === undefined ? new Map<string, string>() : this.#files.figuresOf(topic),
    ]);
    const parts = { topic, language, text, sources, figures };
    const { opening, headings, rest } = renderer.renderArticle(parts, this.#library);
    const isWhole = extent === 'whole';
    const view = this.#view(topic, language, { html: isWhole ? opening + rest() : opening, isWhole, headings });
    return isWhole ? { view } : { view, rest };
  }

  #view(topic: Topic, language: Language, rendered: Pick<ArticleView, 'html' | 'isWhole' | 'headings'>): ArticleView {
    const { previous, next } = this.#library.neighboursOf(topic);
    return {
      ...rendered,
      topic: topic.id,
      language,
      title: topic.title[language],
      breadcrumb: this.#library.pathOf(topic).map((category) => category.title[language]),
      previous: previous && linkTo(previous, language),
      next: next && linkTo(next, language),
    };
  }
}

function linkTo(topic: Topic, language: Language): TopicLink {
  return { id: topic.id, title: topic.title[language] };
}
