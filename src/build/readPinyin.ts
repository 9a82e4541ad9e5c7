import { pinyin } from 'pinyin-pro';
import type { SearchFile } from '../core/search/searchIndex';
import type { TopicFolder } from './readNotes';

/** The pinyin of a topic's Chinese names, in full and by initials: 层归一化 is found by `cengguiyihua` and `cgyh`. */
export function readPinyin(topics: readonly TopicFolder[]): SearchFile {
  return {
    pinyin: Object.fromEntries(
      topics.map(({ source: { value } }) => {
        const chinese = [value.title['zh-cn'], ...value.aliases].filter((name) => /\p{Script=Han}/u.test(name));
        return [value.id, [...new Set(chinese.flatMap(readings))]];
      }),
    ),
  };
}

function readings(name: string): readonly string[] {
  const syllables = pinyin(name, { toneType: 'none', type: 'array', nonZh: 'consecutive', v: true }).map((syllable) =>
    syllable.toLowerCase().replace(/[^a-z0-9]/g, ''),
  );
  const full = syllables.join('');
  const initials = pinyin(name, { toneType: 'none', pattern: 'first', type: 'array', nonZh: 'consecutive' })
    .join('')
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '');
  return [full, initials].filter((reading) => reading.length > 1);
}
