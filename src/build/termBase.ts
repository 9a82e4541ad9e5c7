import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Problems } from './problems';
import { paragraphsOf } from './prose';
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
