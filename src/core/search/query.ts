import { normalized, squeezed } from './normalize';
import { pairsOf, runsOf } from './words';

/** A word of a query, and how much it says about what is meant. */
export interface Term {
  readonly text: string;
  readonly isHan: boolean;
  readonly weight: number;
}

/** A name that a query may be, without spaces, and how sure that is. */
export interface Name {
  readonly text: string;
  readonly weight: number;
}

/** A query as it is looked up. */
export interface Query {
  readonly terms: readonly Term[];
  /** The query as a whole, without the words that only make a question of it, and the ends of a dotted name. */
  readonly names: readonly Name[];
}

const fillers = new Set(
  `a an and are as at be best between by can choose compare compared comparison different difference differences do does
  example explain explained for from good how i import in is it its me meaning my not number of on or pick should that the
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
/** A short filler at the end may be the beginning of a word: `rand for`, `weight i`. */
const unfinishedWeight = 0.5;

/**
 * Reads a query; undefined where nothing is typed that could be looked up. What `isName` knows is no filler: 选择 asks
 * in 怎么选择, but not in 特征选择.
 */
export function readQuery(typed: string, isName: (squeezedText: string) => boolean): Query | undefined {
  const text = normalized(typed.replace(/^([\w.]{2,})\([^()]*\)?\s*$/, '$1'));
  const runs = runsOf(text).map(({ text: word, isHan }) => ({
    word,
    isHan,
    content: isHan ? hanContent(word, isName) : [...word].map(() => !fillers.has(word)),
  }));
  const isUnfinished = /\w$/.test(typed) && (runs.at(-1)?.word.length ?? 0) < 4 && runs.at(-1)?.content[0] === false;
  const terms = runs.flatMap(({ word, isHan, content }, at, { length }) =>
    isHan ? hanTerms(word, content) : latinTerm(word, content, isUnfinished && at === length - 1),
  );
  if (terms.length === 0) {
    return undefined;
  }
  const whole = { text: squeezed(text), weight: 1 };
  if (terms.every((term) => term.weight < 1)) {
    return { terms: terms.map((term) => ({ ...term, weight: 1 })), names: [whole] };
  }
  const content = runs.map(({ word, content: kept }) => [...word].filter((_, at) => kept[at]).join('')).join('');
  const parts = [
    { text: content, weight: isUnfinished ? 0.85 : 0.97 },
    ...tailsOf(text).map((tail) => ({ text: tail, weight: 0.85 })),
  ];
  return { terms, names: [whole, ...parts.filter((name) => name.text.length > 1 && name.text !== whole.text)] };
}

/** A dotted name from each of its dots on: what is called on a variable or in another library, `loss.backward`. */
function tailsOf(text: string): readonly string[] {
  const parts = /^[\w ]+(?:\.[\w ]+)+$/.test(text) ? text.split('.') : [];
  return parts.slice(1).map((_, at) => squeezed(parts.slice(at + 1).join('')));
}

function latinTerm(text: string, [isContent]: readonly boolean[], isUnfinished: boolean): readonly Term[] {
  return [{ text, isHan: false, weight: isContent ? 1 : isUnfinished ? unfinishedWeight : fillerWeight }];
}

function hanTerms(text: string, content: readonly boolean[]): readonly Term[] {
  return pairsOf(text).map((pair, at) => {
    const isContent = pair.length > 1 && content[at] && content[at + 1];
    const weight = isContent ? 1 : fillerWeight;
    return { text: pair, isHan: true, weight };
  });
}

/** For each character whether it belongs to what is asked for. */
function hanContent(word: string, isName: (text: string) => boolean): readonly boolean[] {
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
