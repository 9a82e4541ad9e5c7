import { join } from 'node:path';
import type { Problems } from './problems';
import { prose } from './prose';
import type { TopicFolder } from './readNotes';

/** Whole numbers up to here are words in either language: three, 三. */
const largestSpelled = 10;

/** Both articles of a topic state the same numbers, in prose, tables and formulas. */
export function checkSameNumbers({ articles, folder }: TopicFolder, problems: Problems): void {
  const [english, chinese] = [articles.get('en'), articles.get('zh-cn')];
  if (english === undefined || chinese === undefined) {
    return;
  }
  const [inEnglish, inChinese] = [numbersOf(english), numbersOf(chinese)];
  const lacking = (numbers: ReadonlySet<string>, other: ReadonlySet<string>) =>
    [...numbers].filter((number) => !other.has(number)).join(', ');
  for (const [file, missing, other] of [
    ['zh-cn.md', lacking(inEnglish, inChinese), 'en.md'],
    ['en.md', lacking(inChinese, inEnglish), 'zh-cn.md'],
  ] as const) {
    if (missing !== '') {
      problems.report(join(folder, file), 1, `does not state what ${other} states: ${missing}`);
    }
  }
}

/** The numbers of an article with separators of thousands taken out and units of ten thousand (万, 亿) multiplied. */
function numbersOf(article: string): ReadonlySet<string> {
  const plain = prose(article)
    .replaceAll('{,}', '')
    .replace(/(?<=\d),(?=\d{3}(?!\d))/g, '');
  const numbers = [...plain.matchAll(/(?<![\w.])(\d+(?:\.\d+)?)(?!\w)(?:\s*(million|billion|万|亿))?/g)].map(
    ([, digits = '', unit]) =>
      unit === undefined ? digits : String(Number((Number(digits) * scaleOf(unit)).toFixed())),
  );
  return new Set(numbers.filter((number) => !isSpelled(number)));
}

/** 一万 and 上百层 are said in words as often as in digits, like three. */
function isSpelled(number: string): boolean {
  return !number.includes('.') && (Number(number) <= largestSpelled || /^[1-9]0{2,}$/.test(number));
}

function scaleOf(unit: string): number {
  return { million: 1e6, billion: 1e9, 万: 1e4, 亿: 1e8 }[unit] ?? 1;
}
