import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sections } from '../core/article/sections';
import type { Language } from '../core/library/language';
import type { Notes, TopicFolder } from './readNotes';

/** What the notes hold, counted. */
export interface ContentCounts {
  readonly topics: number;
  readonly articles: Readonly<Record<Language, number>>;
  /** Sections that hold next to nothing. */
  readonly stubs: readonly string[];
  readonly references: number;
  readonly papers: number;
  readonly figures: number;
  readonly calculators: number;
  readonly codeBlocks: number;
  readonly claimedFormulas: number;
  readonly statedNumbers: number;
  readonly pitfalls: number;
  /** Pitfalls of which neither symptom nor fix can run in the checks. */
  readonly unexecutedPitfalls: number;
  /** Topics with an article but without a figure, a calculator or a checked table. */
  readonly unshown: readonly string[];
}

export function contentCounts(notes: Notes): ContentCounts {
  const written = notes.topics.filter(({ articles }) => articles.size > 0);
  const english = written.map((topic) => topic.articles.get('en') ?? '');
  const checks = written.map(({ folder }) => textOf(join(folder, 'checks.py')));
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  return {
    topics: notes.topics.length,
    articles: { en: countOf(written, 'en'), 'zh-cn': countOf(written, 'zh-cn') },
    stubs: written.flatMap(stubsIn),
    references: sum(notes.topics.map(({ source }) => source.value.references?.length ?? 0)),
    papers: sum(notes.topics.map(({ source }) => source.value.papers?.length ?? 0)),
    figures: sum(written.map(({ figures }) => figures.size)),
    calculators: sum(english.map((text) => matches(text, /^```calculator/gm))),
    codeBlocks: sum(english.map((text) => matches(text, /^```(?:python|cpp)/gm))),
    claimedFormulas: sum(checks.map((text) => matches(text, /^@formula\(/gm))),
    statedNumbers: sum(checks.map((text) => matches(text, /\bstated\(/g))),
    pitfalls: sum(english.map(pitfallsIn)),
    unexecutedPitfalls: sum(checks.map((text) => matches(text, /^unexecuted\(/gm))),
    unshown: written
      .filter(({ figures, articles }) => figures.size === 0 && !articles.get('en')?.includes('```calculator'))
      .map(({ source }) => source.value.id),
  };
}

/** An entry of the collections, and the topics whose articles answer it. */
export interface SeedEntry {
  readonly id: string;
  readonly seed: string;
  readonly kind: string;
  readonly topics: readonly string[];
}

export interface SeedCounts {
  readonly seed: string;
  readonly kind: string;
  readonly entries: number;
  /** Answered by the article of each of their topics; a link is answered by standing on their pages. */
  readonly answered: number;
}

/** For each collection and kind of entry, how many entries there are and how many are answered. */
export function seedCounts(entries: readonly SeedEntry[], notes: Notes): readonly SeedCounts[] {
  const topics = new Map(notes.topics.map((topic) => [topic.source.value.id, topic]));
  const isAnswered = (entry: SeedEntry) => entry.topics.every((id) => answers(topics.get(id), entry));
  const kinds = new Map(entries.map(({ seed, kind }) => [`${seed} ${kind}`, { seed, kind }]));
  return [...kinds.values()].map(({ seed, kind }) => {
    const group = entries.filter((entry) => entry.seed === seed && entry.kind === kind);
    return { seed, kind, entries: group.length, answered: group.filter(isAnswered).length };
  });
}

function answers(topic: TopicFolder | undefined, { id, kind }: SeedEntry): boolean {
  const { answers: answered = [], references = [] } = topic?.source.value ?? {};
  return kind === 'link'
    ? references.some(({ seeds }) => seeds?.includes(id))
    : answered.some(({ seed }) => seed === id);
}

function countOf(topics: readonly TopicFolder[], language: Language): number {
  return topics.filter(({ articles }) => articles.has(language)).length;
}

/** A section with fewer characters than this says nothing. */
const least = 40;

function stubsIn({ articles, source }: TopicFolder): readonly string[] {
  return [...articles].flatMap(([language, text]) =>
    partsOf(text)
      .filter(([title, body]) => isSection(title, language) && (body.length < least || /\bTODO\b|待补|待写/.test(body)))
      .map(([title]) => `${source.value.id} (${language}): ${title}`),
  );
}

/** The `##` headings of an article, each with the text below it. */
function partsOf(text: string): readonly (readonly [title: string, body: string])[] {
  return text
    .split(/^## /m)
    .slice(1)
    .map((part) => [part.slice(0, part.indexOf('\n')), part.slice(part.indexOf('\n')).trim()] as const);
}

function pitfallsIn(text: string): number {
  return matches(partsOf(text).find(([title]) => title === 'Pitfalls')?.[1] ?? '', /^### /gm);
}

function isSection(title: string, language: Language): boolean {
  return sections.some((section) => (section[language] as readonly string[]).includes(title.trim()));
}

function matches(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}

function textOf(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}
