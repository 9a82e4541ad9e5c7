import { sectionOfHeading } from '../core/article/sections';
import type { Language } from '../core/library/language';
import type { TextFile, TextSection } from '../core/search/textSearch';
import { plainText } from './plainText';
import type { Notes } from './readNotes';

/** The text of all articles of a language, for the search in it. */
export function textFileOf(notes: Notes, language: Language): TextFile {
  return Object.fromEntries(
    notes.topics.flatMap(({ source, articles }) => {
      const article = articles.get(language);
      return article === undefined ? [] : [[source.value.id, textSections(article, language)]];
    }),
  );
}

/** An article's sections with the anchors that they have on its page, and their passages as plain text. */
export function textSections(article: string, language: Language): readonly TextSection[] {
  const sections: { anchor: string; heading: string; passages: string[] }[] = [];
  let [section, part] = ['', 0];
  for (const block of blocksOf(article)) {
    const [, marks, heading = ''] = /^(##|###) (.+)$/.exec(block) ?? [];
    if (marks === '##') {
      [section, part] = [sectionOfHeading(heading, language) ?? '', 0];
      sections.push({ anchor: section, heading: plainText(heading), passages: [] });
    } else if (marks === '###') {
      part += 1;
      sections.push({ anchor: `${section}-${part}`, heading: plainText(heading), passages: [] });
    } else {
      sections.at(-1)?.passages.push(...passagesOf(block));
    }
  }
  return sections.filter(({ passages }) => passages.length > 0);
}

/** What blank lines part, code blocks in one piece. */
function blocksOf(article: string): readonly string[] {
  return article.match(/^```[\s\S]*?^```$|^#{2,3} .+$|(?:^(?!```|##).*\S.*$\n?)+/gm) ?? [];
}

function passagesOf(block: string): readonly string[] {
  if (/^(?:```(?:output|calculator)|\$\$|!\[)/.test(block)) {
    return [];
  }
  if (block.startsWith('```')) {
    return [
      block
        .replace(/^```.*$/gm, '')
        .replace(/\s+/g, ' ')
        .trim(),
    ];
  }
  return block
    .split(/^(?=[-|]|\d+\. )/m)
    .filter((passage) => !/^\|[\s|:-]*$/.test(passage.trim()))
    .map((passage) => plainText(passage.replace(/^(?:[|\s]+|-\s|\d+\.\s)|\s*\|\s*$/g, '').replaceAll(' | ', ' · ')))
    .filter((passage) => passage !== '');
}
