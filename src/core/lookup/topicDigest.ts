import { sectionOfHeading } from '../article/sections';
import type { Language } from '../library/language';
import type { Topic, TopicSources } from '../library/topic';

export interface DigestSource {
  readonly topic: Topic;
  readonly language: Language;
  /** Absent where the topic has no article yet. */
  readonly article: string | undefined;
  readonly sources: TopicSources;
  /** Where a reader opens the topic. */
  readonly link: string;
  /** Other topics that the question may have meant. */
  readonly others: readonly Topic[];
}

/** Sections that answer most questions of an assistant, in the order of their worth. */
const quoted = ['in-one-line', 'formula', 'pitfalls', 'when-to-use', 'code'] as const;

/**
 * The reviewed text on a topic as parts in the order of their worth, for a reader with little room: a part is left out as
 * a whole, never cut. What is quoted stays Markdown with TeX formulas.
 */
export function topicDigest({ topic, language, article, sources, link, others }: DigestSource): readonly string[] {
  const summary = topic.summary?.[language];
  const sections = article === undefined ? new Map() : sectionsOf(article, language);
  return [
    [`# ${topic.title[language]}`, summary, `ML Field Notes: ${link}`]
      .filter((line) => line !== undefined)
      .join('\n\n'),
    ...quoted.slice(0, 3).flatMap((id) => sections.get(id) ?? []),
    sourceList(sources, language),
    ...quoted.slice(3).flatMap((id) => sections.get(id) ?? []),
    topic.symbols.length > 0 ? `Python: ${topic.symbols.map((symbol) => `\`${symbol}\``).join(', ')}` : '',
    others.length > 0 ? `Other topics: ${others.map((other) => `${other.title.en} (${other.id})`).join('; ')}` : '',
  ].filter((part) => part !== '');
}

/** The `##` sections by id; pictures and links to topics mean nothing outside the article. */
function sectionsOf(article: string, language: Language): ReadonlyMap<string, string> {
  const parts = article.split(/^(?=## )/m).map((part) => {
    const heading = /^## (.+)$/m.exec(part)?.[1] ?? '';
    return [sectionOfHeading(heading, language) ?? '', withoutLinks(part).trim()] as const;
  });
  return new Map(parts);
}

function withoutLinks(markdown: string): string {
  return markdown.replace(/^!\[.*$\n?/gm, '').replace(/\[([^\]]*)\]\(topic:[^)]*\)/g, '$1');
}

function sourceList({ references, papers }: TopicSources, language: Language): string {
  const own = references.filter((reference) => reference.language === language);
  const lines = [
    ...papers.map(({ authors, title, year, url }) => `- ${authors}: ${title} (${year}), ${url}`),
    ...(own.length > 0 ? own : references).slice(0, 6).map(({ title, url }) => `- ${title}, ${url}`),
  ];
  return lines.length > 0 ? `## Sources\n\n${lines.join('\n')}` : '';
}
