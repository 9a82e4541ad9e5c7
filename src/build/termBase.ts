import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Problems } from './problems';
import { paragraphsOf, prose } from './prose';
import type { CardSources } from './readCards';
import type { Notes } from './readNotes';
import { type Term, termsSchema } from './schemas';
import { readYaml } from './yamlFile';

/** A Chinese text and the place it stands at. */
interface ChineseText {
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

/** A Chinese word with an English term in brackets behind it: 层归一化（layer normalization，LN）. */
const pair = /([^（），。；：、]+)（([A-Za-z][\w '’/.&-]*?)(?:[，,、][^）]*)?）/g;

const symbolLength = 4;

/** An abbreviation alone in brackets is as often an example, （SGD）, as the name of what stands before it. */
const abbreviation = /^(?!.*[a-z]{2})/;

/** Reads the words of the field in both languages; a word that stands in two entries of a language is a problem. */
export function readTerms(file: string, problems: Problems): readonly Term[] {
  const terms = readYaml(file, termsSchema, problems);
  const seen = new Map<string, number>();
  terms?.value.forEach((term, index) => {
    for (const name of term.en) {
      const other = seen.get(name);
      if (other !== undefined) {
        problems.report(file, terms.lineOf(index), `${name} stands in line ${other} already`);
      }
      seen.set(name, terms.lineOf(index));
    }
  });
  return terms?.value ?? [];
}

/** Holds Chinese texts to the term base: no word that is never used, and in brackets the English of the word before them. */
export function checkTerms(terms: readonly Term[], texts: Iterable<ChineseText>, problems: Problems): void {
  const never = terms.flatMap((term) => (term.never ?? []).map((word) => ({ word, term })));
  const chineseOf = chineseByEnglish(terms);
  for (const { file, line, text } of texts) {
    for (const { word, term } of never.filter(({ word }) => text.includes(word))) {
      problems.report(file, line, `${word}: "${term.en[0]}" is ${term['zh-cn'][0]} in these notes`);
    }
    for (const [, chinese = '', english = ''] of text.matchAll(pair)) {
      const words = chineseOf(english);
      if (words && !words.some((word) => standsBefore(word, chinese))) {
        problems.report(file, line, `${chinese.slice(-8)}（${english}）: the term base has ${words.join(', ')}`);
      }
    }
  }
}

/** The word ends the text, or a symbol stands behind it: 遗忘门 $f$（forget gate）. */
function standsBefore(word: string, text: string): boolean {
  const end = text.slice(-(word.length + symbolLength)).toLowerCase();
  return end.includes(word.toLowerCase());
}

/** Names with capitals are told apart by them: MAP is an estimate, mAP a metric. */
function chineseByEnglish(terms: readonly Term[]): (english: string) => readonly string[] | undefined {
  const words = new Map<string, string[]>();
  for (const term of terms) {
    for (const name of term.en.filter((each) => !abbreviation.test(each))) {
      words.set(name, [...(words.get(name) ?? []), ...term['zh-cn']]);
    }
  }
  return (english) => words.get(english) ?? words.get(english.toLowerCase());
}

/** Every Chinese text that a reader sees and a writer wrote; aliases are what people type, right or wrong. */
export function* chineseTexts(
  notes: Notes,
  cards: CardSources,
  interfaceFiles: readonly string[],
): Iterable<ChineseText> {
  for (const { folder, source, articles } of notes.topics) {
    yield { file: source.file, line: source.lineOf('title'), text: source.value.title['zh-cn'] };
    yield { file: source.file, line: source.lineOf('summary'), text: source.value.summary?.['zh-cn'] ?? '' };
    for (const label of (source.value.figures ?? []).flatMap(({ labels }) => Object.values(labels?.['zh-cn'] ?? {}))) {
      yield { file: source.file, line: source.lineOf('figures'), text: label };
    }
    for (const [line, text] of paragraphsOf(articles.get('zh-cn') ?? '')) {
      yield { file: join(folder, 'zh-cn.md'), line, text };
    }
  }
  for (const { file, value, lineOf } of cards.files) {
    for (const [index, { name, what, trap, deprecated, arguments: own = {} }] of value.entries()) {
      for (const text of [name, what, trap, deprecated, ...Object.values(own)]) {
        yield { file, line: lineOf(index), text: text?.['zh-cn'] ?? '' };
      }
    }
  }
  for (const text of Object.values(cards.arguments)) {
    yield { file: 'resources/symbols/arguments.yaml', line: 1, text: text['zh-cn'] };
  }
  for (const file of interfaceFiles.filter((name) => existsSync(name))) {
    for (const [index, text] of readFileSync(file, 'utf8').split('\n').entries()) {
      yield { file, line: index + 1, text };
    }
  }
}

/** Han characters that stand before a word without being part of it: 用批归一化, 的特征图. */
const particles = new Set(
  '的是用和与把在对做即为个种从到由让给经以如比里中上后前了着加及或而被按像这每各该其有无次些张成作将就也都只再先于称叫求取算出过内外下入当说指看含带需要能可会时第二三四一两几接换改写得',
);

/** Reports terms that an article uses without ever giving their English name; its title and aliases count as given. */
export function checkFirstUses(terms: readonly Term[], notes: Notes, problems: Problems): void {
  const isHan = (name: string) => /\p{Script=Han}/u.test(name);
  const all = terms.flatMap((term) => term['zh-cn']).filter(isHan);
  const explained = terms.filter(({ everyday }) => !everyday);
  for (const { folder, source, articles } of notes.topics) {
    const article = articles.get('zh-cn') ?? '';
    const names = [source.value.title['zh-cn'], ...source.value.aliases].join('\n');
    const given = `${names}\n${prose(article)}`.toLowerCase();
    const paragraphs = [...paragraphsOf(article.replace(/^(?:#|!\[).*$/gm, ''))];
    for (const term of explained.filter(({ en }) => !en.some((name) => given.includes(name.toLowerCase())))) {
      const words = term['zh-cn'].filter((word) => isHan(word) && !names.includes(word));
      const place = paragraphs.find(([, text]) => words.some((word) => standsAlone(word, text, all)));
      if (place) {
        problems.report(
          join(folder, 'zh-cn.md'),
          place[0],
          `${term['zh-cn'][0]} needs its English at first use（${term.en[0]}）`,
        );
      }
    }
  }
}

/** A word occurs, neither within a longer term nor as the end of a compound. */
function standsAlone(word: string, text: string, all: readonly string[]): boolean {
  const longer = all.filter((other) => other.length > word.length && other.includes(word));
  const rest = longer.reduce((left, other) => left.replaceAll(other, ' '), text);
  return [...rest.matchAll(new RegExp(`(^|.)${word}`, 'gsu'))].some(
    ([, before = '']) => !/\p{Script=Han}/u.test(before) || particles.has(before),
  );
}
