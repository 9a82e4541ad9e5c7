import { normalized, squeezed } from './normalize';
import { pairsOf, runsOf } from './words';

/** A word of a query, and how much it says about what is meant. */
export interface Term {
  readonly text: string;
  readonly isHan: boolean;
  readonly weight: number;
}

/** A query as it is looked up. */
export interface Query {
  readonly terms: readonly Term[];
  /** The query as a name, and without the words that only make a question of it; without spaces. */
  readonly names: readonly string[];
}

const fillers = new Set(
  `a an and are as at be between by can compare compared comparison different difference differences do does
  example explain explained for from good how i import in is it its me meaning mean means my not of on or should that the
  this to use used using versus vs what when where which while why with work works you your`.split(/\s+/),
);

/** Longest first, since 怎么办 is no 怎么 with a rest. */
const hanFillers = new RegExp(
  [
    '是什么意思|是怎么回事|有什么区别|有什么不同|怎么计算|如何计算|哪个更好|为什么要|为什么会|为什么',
    '怎么办|怎么算|怎么用|怎么选|怎么样|是什么|什么是|有什么|有哪些|哪个好|什么时候|的区别|的关系|的作用|的原理|的公式|的代码',
    '区别|对比|什么|怎么|怎样|如何|哪个|哪些|为何|原理|公式|代码|实现|作用|含义|意思|理解|详解|解释|解决|处理|防止|避免|选择|使用|需要|时候|之间|计算',
    '[的地得和与跟或及吗呢吧了要用算会能在时是把被比]',
  ].join('|'),
  'gu',
);

const fillerWeight = 0.12;

/**
 * Reads a query; undefined where nothing is typed that could be looked up. What `isName` knows is no filler: 选择 asks
 * in 怎么选择, but not in 特征选择.
 */
export function readQuery(typed: string, isName: (squeezedText: string) => boolean): Query | undefined {
  const text = normalized(typed.replace(/^([\w.]+)\(.*$/, '$1'));
  const runs = runsOf(text).map(({ text: word, isHan }) => ({ word, isHan, content: contentMask(word, isHan, isName) }));
  const terms = runs.flatMap(({ word, isHan, content }) => (isHan ? hanTerms(word, content) : [latinTerm(word)]));
  if (terms.length === 0) {
    return undefined;
  }
  if (terms.every((term) => term.weight < 1)) {
    return { terms: terms.map((term) => ({ ...term, weight: 1 })), names: [squeezed(text)] };
  }
  const content = runs.map(({ word, content: kept }) => [...word].filter((_, at) => kept[at]).join('')).join('');
  return { terms, names: content.length > 1 ? [...new Set([squeezed(text), content])] : [squeezed(text)] };
}

function latinTerm(text: string): Term {
  return { text, isHan: false, weight: fillers.has(text) ? fillerWeight : 1 };
}

function hanTerms(text: string, content: readonly boolean[]): readonly Term[] {
  return pairsOf(text).map((pair, at) => {
    const weight = content[at] && content[at + pair.length - 1] ? 1 : fillerWeight;
    return { text: pair, isHan: true, weight };
  });
}

/** For each character whether it belongs to what is asked for. */
function contentMask(word: string, isHan: boolean, isName: (text: string) => boolean): readonly boolean[] {
  if (!isHan) {
    return [...word].map(() => !fillers.has(word));
  }
  const content = [...word].map(() => true);
  for (const { index, 0: filler } of word.matchAll(hanFillers)) {
    content.fill(false, index, index + filler.length);
  }
  for (let start = 0; start < word.length; start += 1) {
    for (let end = word.length; end > start + 2; end -= 1) {
      if (isName(word.slice(start, end))) {
        content.fill(true, start, end);
        break;
      }
    }
  }
  return content;
}
