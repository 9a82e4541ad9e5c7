import { join } from 'node:path';
import katex from 'katex';
import { renderArticleBody } from '../core/article/articleBody';
import { sectionOfHeading, sections } from '../core/article/sections';
import { type Language, languages } from '../core/library/language';
import { checkCalculators } from './checkCalculators';
import { checkSameNumbers } from './checkSameNumbers';
import { lineAt, type Problems } from './problems';
import { prose, proseWithoutCode } from './prose';
import type { Notes, TopicFolder } from './readNotes';

/** Sections that every article has; the others depend on the topic. */
const requiredSections = ['in-one-line', 'intuition', 'pitfalls', 'when-to-use', 'questions'];

/** The limits of a figure, so that an article opens at once and the package stays small. */
const figureLimits = { count: 2, bytes: 60 * 1024 };

/** Checks what a schema cannot say: links between topics, order of sections, formulas, figures, equality of the languages. */
export function checkNotes(notes: Notes, problems: Problems): void {
  const ids = new Map<string, TopicFolder>();
  const owners = new Map<string, string>();
  for (const topic of notes.topics) {
    const { value, file, lineOf } = topic.source;
    if (ids.has(value.id)) {
      problems.report(file, lineOf('id'), `the topic ${value.id} exists twice`);
    }
    ids.set(value.id, topic);
    value.symbols.forEach((symbol, index) => {
      const owner = owners.get(symbol);
      if (owner !== undefined) {
        problems.report(file, lineOf('symbols', index), `${symbol} belongs to ${owner} already`);
      }
      owners.set(symbol, value.id);
    });
  }
  for (const topic of notes.topics) {
    checkTopicLinks(topic, ids, problems);
    checkFigures(topic, problems);
    for (const language of languages) {
      const text = topic.articles.get(language);
      if (text !== undefined) {
        checkArticle(topic, language, text, ids, problems);
      }
    }
    checkSameOutline(topic, problems);
    checkSameNumbers(topic, problems);
    checkCalculators(topic, problems);
  }
}

function checkTopicLinks(topic: TopicFolder, ids: ReadonlyMap<string, unknown>, problems: Problems): void {
  const { value, file, lineOf } = topic.source;
  for (const field of ['related', 'prerequisites'] as const) {
    value[field].forEach((id, index) => {
      if (!ids.has(id)) {
        problems.report(file, lineOf(field, index), `${field}: there is no topic ${id}`);
      }
      if (id === value.id) {
        problems.report(file, lineOf(field, index), `${field}: a topic does not refer to itself`);
      }
    });
  }
  if (topic.articles.size > 0 && value.summary === undefined) {
    problems.report(file, 1, 'summary is missing: a topic with articles has one');
  }
}

function checkFigures(topic: TopicFolder, problems: Problems): void {
  const listed = new Set((topic.source.value.figures ?? []).map((figure) => figure.file));
  for (const [name, svg] of topic.figures) {
    if (!listed.has(name)) {
      problems.report(topic.source.file, 1, `figures does not list ${name}`);
    }
    if (svg.length > figureLimits.bytes) {
      problems.report(join(topic.folder, name), 1, `a figure has at most ${figureLimits.bytes / 1024} KB`);
    }
  }
  if (listed.size > figureLimits.count) {
    problems.report(topic.source.file, topic.source.lineOf('figures'), `at most ${figureLimits.count} figures`);
  }
}

function checkArticle(
  topic: TopicFolder,
  language: Language,
  text: string,
  ids: ReadonlyMap<string, TopicFolder>,
  problems: Problems,
): void {
  const file = join(topic.folder, `${language}.md`);
  checkHeadings(file, language, text, problems);
  checkFormulas(file, text, problems);
  for (const link of proseWithoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)) {
    checkLink(file, lineAt(text, link.index), link[1] ?? '', topic, ids, language, problems);
  }
  renderArticleBody(text, language, { figures: topic.figures, hasTopic: (id) => ids.has(id) });
}

function checkHeadings(file: string, language: Language, text: string, problems: Problems): void {
  const order = sections.map((section) => section.id as string);
  const seen: string[] = [];
  for (const heading of prose(text).matchAll(/^(#{1,6})\s+(.+)$/gm)) {
    const [, marks = '', title = ''] = heading;
    const line = lineAt(text, heading.index);
    if (marks.length === 2) {
      const section = sectionOfHeading(title, language);
      if (section === undefined) {
        problems.report(file, line, `"${title}" is not a section of an article (see resources/README.md)`);
        continue;
      }
      if (seen.length > 0 && order.indexOf(section) <= order.indexOf(seen.at(-1) ?? '')) {
        problems.report(file, line, `the section "${title}" is out of order or stands twice`);
      }
      seen.push(section);
    } else if (marks.length !== 3 || !['pitfalls', 'questions'].includes(seen.at(-1) ?? '')) {
      problems.report(file, line, `"${title}": only ## sections, and ### inside pitfalls and questions`);
    }
  }
  for (const missing of requiredSections.filter((id) => !seen.includes(id))) {
    problems.report(file, 1, `the section ${missing} is missing`);
  }
}

function checkFormulas(file: string, text: string, problems: Problems): void {
  for (const formula of proseWithoutCode(text).matchAll(/\$\$(.+?)\$\$|\$([^$\n]+?)\$/gs)) {
    const tex = formula[1] ?? formula[2] ?? '';
    try {
      katex.renderToString(tex, { displayMode: formula[1] !== undefined, strict: 'ignore', throwOnError: true });
    } catch (error) {
      problems.report(file, lineAt(text, formula.index), `formula does not compile: ${String(error)}`);
    }
  }
}

function checkLink(
  file: string,
  line: number,
  target: string,
  topic: TopicFolder,
  ids: ReadonlyMap<string, TopicFolder>,
  language: Language,
  problems: Problems,
): void {
  if (target.startsWith('figure-')) {
    if (!topic.figures.has(target)) {
      problems.report(file, line, `there is no figure ${target}`);
    }
    return;
  }
  const link = /^topic:([\w-]+)(?:#([\w-]+))?$/.exec(target);
  if (!link) {
    problems.report(file, line, `${target}: an article links to topics only (topic:ID); pages belong into topic.yaml`);
    return;
  }
  const [, id = '', anchor] = link;
  const linked = ids.get(id);
  if (!linked) {
    problems.report(file, line, `there is no topic ${id}`);
  } else if (anchor !== undefined && !anchorsOf(linked, language).has(anchor)) {
    problems.report(file, line, `the topic ${id} has no heading ${anchor}`);
  }
}

function anchorsOf(topic: TopicFolder, language: Language): ReadonlySet<string> {
  const body = renderArticleBody(topic.articles.get(language) ?? '', language, {
    figures: topic.figures,
    hasTopic: () => true,
  });
  return new Set([...body.headings.map((heading) => heading.id), 'references', 'related']);
}

function checkSameOutline(topic: TopicFolder, problems: Problems): void {
  const [english, chinese] = languages.map((language) => {
    const text = topic.articles.get(language);
    return text === undefined
      ? undefined
      : renderArticleBody(text, language, { figures: topic.figures, hasTopic: () => true }).headings.map(
          (heading) => heading.id,
        );
  });
  const difference = english?.findIndex((id, index) => id !== chinese?.[index]) ?? -1;
  if (english && chinese && (difference >= 0 || english.length !== chinese.length)) {
    const place = english[difference] ?? chinese[english.length] ?? 'the end';
    problems.report(join(topic.folder, 'zh-cn.md'), 1, `the outline differs from en.md at ${place}`);
  }
}
