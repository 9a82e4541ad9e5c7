import type { NoteLibrary } from '../library/noteLibrary';
import type { Topic } from '../library/topic';
import { inSlices, type Pause } from './slices';
import { runsOf } from './words';

/** What `dist/text.<language>.json` holds: the articles as plain text, a passage for each paragraph, item or row. */
export type TextFile = Readonly<Record<string, readonly TextSection[]>>;

export interface TextSection {
  /** Where the article is scrolled to. */
  readonly anchor: string;
  readonly heading: string;
  readonly passages: readonly string[];
}

/** A passage that holds the words of a query, or most of them where its section holds the others. */
export interface PassageResult {
  readonly topic: Topic;
  readonly anchor: string;
  readonly heading: string;
  /** The part of the passage around the first word, shortened with … on either side. */
  readonly excerpt: string;
  /** The words as they stand in the text, to mark them there. */
  readonly found: string;
}

interface Section {
  readonly topic: Topic;
  readonly anchor: string;
  readonly heading: string;
  readonly lowerHeading: string;
  readonly passages: readonly Passage[];
}

interface Passage {
  readonly text: string;
  readonly lower: string;
}

interface Match {
  readonly section: Section;
  readonly passage: Passage;
  readonly score: number;
}

/** What counts: words in the heading, words together as typed, words in one passage, and how much of it they are. */
const weights = { heading: 2, together: 1.5, onePassage: 1, share: 1 };

/** Finds words in the articles of one language. */
export class TextSearch {
  readonly #sections: Section[] = [];

  private constructor() {}

  static async build(library: NoteLibrary, file: TextFile, pause?: Pause): Promise<TextSearch> {
    const search = new TextSearch();
    await inSlices(library.topics, (topic) => search.#add(topic, file[topic.id] ?? []), pause);
    return search;
  }

  /** The sections that hold every word, each by its best passage, best first. */
  find(query: string, limit = 60): readonly PassageResult[] {
    const text = query.trim().toLowerCase();
    const words = runsOf(text).map((run) => run.text);
    if (words.length === 0 || /^[a-z]$/.test(text)) {
      return [];
    }
    return this.#sections
      .flatMap((section) => bestMatch(section, text, words) ?? [])
      .sort((one, other) => other.score - one.score)
      .slice(0, limit)
      .map((match) => resultOf(match, text, words));
  }

  #add(topic: Topic, sections: readonly TextSection[]): void {
    for (const { anchor, heading, passages } of sections) {
      const own = passages.map((text) => ({ text, lower: text.toLowerCase() }));
      this.#sections.push({ topic, anchor, heading, lowerHeading: heading.toLowerCase(), passages: own });
    }
  }
}

function bestMatch(section: Section, text: string, words: readonly string[]): Match | undefined {
  const { lowerHeading, passages } = section;
  const isHeld = (word: string) => lowerHeading.includes(word) || passages.some(({ lower }) => lower.includes(word));
  if (!words.every(isHeld)) {
    return undefined;
  }
  const matches = passages.map((passage) => ({ section, passage, score: scoreOf(passage, lowerHeading, text, words) }));
  return matches.reduce((best, match) => (match.score > best.score ? match : best));
}

function scoreOf({ lower }: Passage, lowerHeading: string, text: string, words: readonly string[]): number {
  const inHeading = words.filter((word) => lowerHeading.includes(word)).length / words.length;
  const inPassage = words.filter((word) => lower.includes(word)).length / words.length;
  const together = lower.includes(text) || lowerHeading.includes(text) ? 1 : 0;
  const letters = words.reduce((sum, word) => sum + word.length * (lower.split(word).length - 1), 0);
  return (
    weights.heading * inHeading +
    weights.together * together +
    weights.onePassage * inPassage ** 2 +
    weights.share * Math.min(1, (4 * letters) / lower.length)
  );
}

/** Characters shown before and after the first word. */
const [before, after] = [30, 110];

function resultOf({ section, passage }: Match, query: string, words: readonly string[]): PassageResult {
  const { text, lower } = passage;
  const found = [query, ...words].find((word) => lower.includes(word)) ?? '';
  const at = Math.max(0, lower.indexOf(found));
  const start = at <= before ? 0 : text.indexOf(' ', at - before) + 1 || at - before;
  const from = start > at ? Math.max(0, at - before) : start;
  const excerpt = text.slice(from, at + found.length + after);
  const [left, right] = [from > 0 ? '…' : '', from + excerpt.length < text.length ? '…' : ''];
  return {
    topic: section.topic,
    anchor: section.anchor,
    heading: section.heading,
    excerpt: `${left}${excerpt}${right}`,
    found: text.slice(at, at + found.length),
  };
}
