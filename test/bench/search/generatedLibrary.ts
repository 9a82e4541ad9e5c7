import type { LibraryIndex } from '../../../src/core/library/noteLibrary';
import type { Topic } from '../../../src/core/library/topic';
import type { SearchFile, TopicSearchData } from '../../../src/core/search/searchIndex';

export interface Generated {
  readonly index: LibraryIndex;
  readonly file: SearchFile;
}

/**
 * The shipped topics and as many more as are asked for. A new topic takes its shape (how many names, symbols, headings)
 * from a shipped one and its words from all of them, half of them changed, so that names resemble each other as real
 * ones do. The same number gives the same topics.
 */
export function generatedLibrary(index: LibraryIndex, file: SearchFile, count: number): Generated {
  const random = randomNumbers(count);
  const vary = variation(index, random);
  const topics = [...index.topics];
  const data: Record<string, TopicSearchData> = { ...file.topics };
  for (let number = topics.length; number < count; number += 1) {
    const model = index.topics[Math.floor(random() * index.topics.length)];
    if (model) {
      const topic = variedTopic(model, `${model.id}-${number}`, vary);
      topics.push(topic);
      data[topic.id] = variedData(file.topics[model.id], vary);
    }
  }
  return { index: { ...index, topics }, file: { topics: data } };
}

type Vary = (text: string) => string;

function variedTopic(model: Topic, id: string, vary: Vary): Topic {
  return {
    ...model,
    id,
    title: { en: vary(model.title.en), 'zh-cn': vary(model.title['zh-cn']) },
    summary: model.summary && { en: vary(model.summary.en), 'zh-cn': vary(model.summary['zh-cn']) },
    aliases: model.aliases.map(vary),
    symbols: model.symbols.map((symbol) => symbol.replace(/[^.]+$/, vary)),
  };
}

function variedData(model: TopicSearchData | undefined, vary: Vary): TopicSearchData {
  const varied = (texts: readonly string[] = []) => texts.map(vary);
  return {
    pinyin: varied(model?.pinyin),
    symbols: varied(model?.symbols),
    arguments: varied(model?.arguments),
    words: varied(model?.words),
    headings: varied(model?.headings),
    references: varied(model?.references),
  };
}

/** Replaces half of the words by words of other topics, and one letter or character in each of some others. */
function variation(index: LibraryIndex, random: () => number): Vary {
  const names = index.topics.flatMap((topic) => [topic.title.en, topic.title['zh-cn'], ...topic.aliases]).join(' ');
  const latin = [...new Set(names.match(/[A-Za-z]{3,}/g))];
  const han = [...new Set(names.match(/\p{Script=Han}/gu))];
  const pick = (list: readonly string[]) => list[Math.floor(random() * list.length)] ?? '';
  const letter = () => String.fromCharCode(97 + Math.floor(random() * 26));
  const changed = (word: string) => {
    const at = Math.floor(random() * word.length);
    return `${word.slice(0, at)}${letter()}${word.slice(at + 1)}`;
  };
  return (text) =>
    text
      .replace(/[A-Za-z]{3,}/g, (word) => (random() < 0.5 ? pick(latin) : random() < 0.4 ? changed(word) : word))
      .replace(/\p{Script=Han}/gu, (character) => (random() < 0.4 ? pick(han) : character));
}

/** Mulberry32: small, good enough, the same everywhere. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
