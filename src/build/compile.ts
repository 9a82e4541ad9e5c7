import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Card, type CardFile, cardFormat, type SymbolFacts } from '../core/library/card';
import { languages } from '../core/library/language';
import { type LibraryIndex, libraryFormat } from '../core/library/noteLibrary';
import type { Category, Topic, TopicSources } from '../core/library/topic';
import { textFileOf } from './articleText';
import { drawFormulas } from './drawFormulas';
import type { Problems } from './problems';
import type { CardSources } from './readCards';
import type { Notes, TopicFolder } from './readNotes';
import { type SearchWords, searchFileOf } from './searchFile';

/** Writes everything the extension reads at run time into `dist`. */
export async function compile(
  notes: Notes,
  cards: CardSources,
  words: SearchWords,
  dist: string,
  problems: Problems,
): Promise<void> {
  for (const folder of ['articles', 'figures', 'test']) {
    rmSync(join(dist, folder), { recursive: true, force: true });
    mkdirSync(join(dist, folder), { recursive: true });
  }
  const write = (name: string, value: unknown) => writeFileSync(join(dist, name), JSON.stringify(value));
  write('index.json', indexOf(notes));
  write('sources.json', Object.fromEntries(notes.topics.map((topic) => [topic.source.value.id, sourcesOf(topic)])));
  write('search.json', searchFileOf(notes, cards, words));
  for (const language of languages) {
    write(`text.${language}.json`, textFileOf(notes, language));
  }
  write('cards.json', cardFileOf(cards));
  write('formulas.json', await formulasOf(cards, problems));
  // For the tests of the content alone; the package leaves it out.
  write(
    'test/answers.json',
    Object.fromEntries(
      notes.topics.map(({ source: { value } }) => [value.id, (value.answers ?? []).map((answer) => answer.seed)]),
    ),
  );
  for (const topic of notes.topics) {
    writeTexts(topic, dist);
  }
}

function writeTexts(topic: TopicFolder, dist: string): void {
  const id = topic.source.value.id;
  for (const [language, text] of topic.articles) {
    writeFileSync(join(dist, 'articles', `${id}.${language}.md`), text);
  }
  for (const [name, svg] of topic.figures) {
    writeFileSync(join(dist, 'figures', `${id}.${name}`), svg);
  }
}

function indexOf(notes: Notes): LibraryIndex {
  const categories = notes.categories.map(({ id, parent, source }): Category => {
    const { title, categories: children, topics } = source.value;
    return { id, title, ...(parent === undefined ? {} : { parent }), categories: children ?? [], topics: topics ?? [] };
  });
  return { format: libraryFormat, categories, topics: notes.topics.map(topicOf) };
}

function topicOf({ source, articles }: TopicFolder): Topic {
  const { id, type, category, title, summary, aliases, symbols, related, prerequisites, references } = source.value;
  return {
    id,
    type,
    category,
    title,
    ...(summary ? { summary } : {}),
    aliases,
    symbols,
    related,
    prerequisites,
    hasArticle: articles.size > 0,
    referenceCount: references.length,
  };
}

function sourcesOf({ source }: TopicFolder): TopicSources {
  const { references, papers, figures } = source.value;
  return {
    references: references.map(({ seeds: _seeds, ...reference }) => reference),
    papers: papers ?? [],
    figures: (figures ?? []).map(({ file, labels }) => ({ file, labels: labels?.['zh-cn'] })),
  };
}

function cardFileOf({ files, arguments: shared, signatures }: CardSources): CardFile {
  const facts: Record<string, SymbolFacts> = {};
  const aliases: Record<string, string> = {};
  const versions: Record<string, string> = {};
  for (const signature of signatures) {
    Object.assign(facts, signature.symbols);
    Object.assign(aliases, signature.aliases);
    versions[signature.library] = signature.version;
  }
  const cards: readonly Card[] = files.flatMap((file) => file.value);
  return { format: cardFormat, cards, arguments: shared, facts, aliases, versions };
}

async function formulasOf({ files }: CardSources, problems: Problems) {
  const places = new Map<string, { readonly file: string; readonly line: number }>();
  for (const { file, value, lineOf } of files) {
    value.forEach((card, index) => {
      if (card.formula !== undefined) {
        places.set(card.formula, { file, line: lineOf(index, 'formula') });
      }
    });
  }
  return drawFormulas([...places.keys()], (tex, reason) => {
    const { file, line } = places.get(tex) ?? { file: 'resources/symbols', line: 1 };
    problems.report(file, line, `formula does not compile: ${reason}`);
  });
}
