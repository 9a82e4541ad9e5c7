import { existsSync } from 'node:fs';
import type { SearchFile, TopicSearchData } from '../core/search/searchIndex';
import { plainText } from './plainText';
import type { Problems } from './problems';
import type { CardSources } from './readCards';
import type { Notes, TopicFolder } from './readNotes';
import { readPinyin } from './readPinyin';
import { searchWordsSchema } from './schemas';
import { readYaml } from './yamlFile';

/** An argument that more topics share says nothing about which one is meant. */
const topicsOfAnArgument = 6;

export type SearchWords = Readonly<Record<string, readonly string[]>>;

/** Reads what people type for a topic beside its names, by topic. */
export function readSearchWords(file: string, notes: Notes, problems: Problems): SearchWords {
  const words = existsSync(file) ? readYaml(file, searchWordsSchema, problems) : undefined;
  const topics = new Set(notes.topics.map((topic) => topic.source.value.id));
  for (const id of Object.keys(words?.value ?? {})) {
    if (!topics.has(id)) {
      problems.report(file, words?.lineOf(id) ?? 1, `there is no topic ${id}`);
    }
  }
  return words?.value ?? {};
}

/** What the search knows of each topic beyond the index of topics. */
export function searchFileOf(notes: Notes, cards: CardSources, words: SearchWords): SearchFile {
  const symbols = symbolsOfCards(notes, cards);
  const parameters = argumentsOf(notes, cards, symbols);
  const dataOf = (topic: TopicFolder): TopicSearchData => {
    const { id, title, aliases, references, papers } = topic.source.value;
    const ownWords = words[id] ?? [];
    return {
      pinyin: readPinyin([title['zh-cn'], ...aliases], ownWords),
      symbols: symbols.get(id) ?? [],
      arguments: parameters.get(id) ?? [],
      words: ownWords,
      headings: [...topic.articles.values()].flatMap(headingsOf),
      references: [...new Set([...references, ...(papers ?? [])].map((reference) => reference.title))],
    };
  };
  return { topics: Object.fromEntries(notes.topics.map((topic) => [topic.source.value.id, dataOf(topic)])) };
}

/** The traps and questions of an article; its sections are called the same in every article. */
function headingsOf(article: string): readonly string[] {
  return [...article.matchAll(/^### (.+)$/gm)].map(([, heading = '']) => plainText(heading));
}

/** The symbols that cards add to those a topic lists. */
function symbolsOfCards(notes: Notes, { files }: CardSources): ReadonlyMap<string, readonly string[]> {
  const listed = new Set(notes.topics.flatMap((topic) => topic.source.value.symbols));
  const pairs = files
    .flatMap((file) => file.value)
    .flatMap(({ topic, symbols }) => symbols.map((symbol) => ({ topic, symbol })))
    .filter(({ symbol }) => !listed.has(symbol));
  return grouped(pairs.flatMap(({ topic, symbol }) => (topic === undefined ? [] : [[topic, symbol] as const])));
}

/** The arguments that lead to a topic: `pos_weight`, but not `dim` or `weight`, which are words of their own. */
function argumentsOf(
  notes: Notes,
  { signatures }: CardSources,
  symbolsOfCard: ReadonlyMap<string, readonly string[]>,
): ReadonlyMap<string, readonly string[]> {
  const facts = new Map(signatures.flatMap((library) => Object.entries(library.symbols)));
  const namesOf = (topic: TopicFolder) => {
    const { id, symbols } = topic.source.value;
    const parameters = [...symbols, ...(symbolsOfCard.get(id) ?? [])].flatMap(
      (symbol) => facts.get(symbol)?.parameters ?? [],
    );
    return [...new Set(parameters.map((parameter) => parameter.name))].filter((name) => /[a-z]_[a-z]/.test(name));
  };
  const pairs = notes.topics.flatMap((topic) => namesOf(topic).map((name) => [topic.source.value.id, name] as const));
  const owners = grouped(pairs.map(([topic, name]) => [name, topic] as const));
  return grouped(pairs.filter(([, name]) => (owners.get(name)?.length ?? 0) <= topicsOfAnArgument));
}

function grouped(pairs: readonly (readonly [key: string, value: string])[]): ReadonlyMap<string, readonly string[]> {
  const groups = new Map<string, string[]>();
  for (const [key, value] of pairs) {
    groups.set(key, [...(groups.get(key) ?? []), value]);
  }
  return groups;
}
