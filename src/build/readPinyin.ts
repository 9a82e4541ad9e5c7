import { pinyin } from 'pinyin-pro';

/**
 * How names are typed in pinyin: 层归一化 as `cengguiyihua` or, by initials, `cgyh`. What is no name has no initials, which
 * would only stand in the way of abbreviations.
 */
export function readPinyin(names: readonly string[], words: readonly string[]): readonly string[] {
  const chinese = names.filter(hasHan).flatMap(withParts);
  const full = [...chinese, ...words.filter(hasHan)].flatMap(inFull);
  return [...new Set([...full, ...chinese.map(byInitials)])].filter((reading) => reading.length > 2);
}

/** A name, and what of it is Chinese: 垃圾回收机制 of Python 垃圾回收机制. */
function withParts(name: string): readonly string[] {
  return [name, ...(name.match(/\p{Script=Han}{3,}/gu) ?? []).flatMap((part) => [part, ...part.split('与')])];
}

function hasHan(text: string): boolean {
  return /\p{Script=Han}/u.test(text);
}

function inFull(name: string): readonly string[] {
  const reading = letters(pinyin(name, { toneType: 'none', type: 'array', nonZh: 'consecutive', v: true }));
  // ü is typed as v, or as u by those who do not know that.
  return [reading, reading.replaceAll('v', 'u')];
}

function byInitials(name: string): string {
  return letters(pinyin(name, { toneType: 'none', pattern: 'first', type: 'array', nonZh: 'consecutive' }));
}

function letters(syllables: readonly string[]): string {
  return syllables
    .join('')
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '');
}
