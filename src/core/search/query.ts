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
  readonly text: string;
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

/** Reads a query; undefined where nothing is typed that could be looked up. */
export function readQuery(typed: string): Query | undefined {
  const text = normalized(typed.replace(/^([\w.]+)\(.*$/, '$1'));
  const terms = runsOf(text).flatMap(({ text: word, isHan }) => (isHan ? hanTerms(word) : [latinTerm(word)]));
  if (terms.length === 0) {
    return undefined;
  }
  const onlyFillers = terms.every((term) => term.weight < 1);
  const content = onlyFillers ? '' : contentOf(text);
  return {
    text,
    terms: onlyFillers ? terms.map((term) => ({ ...term, weight: 1 })) : terms,
    names: [...new Set([squeezed(text), content])].filter((name) => name !== ''),
  };
}

function latinTerm(text: string): Term {
  return { text, isHan: false, weight: fillers.has(text) ? fillerWeight : 1 };
}

function hanTerms(text: string): readonly Term[] {
  const isFiller = [...text].map(() => false);
  for (const match of text.matchAll(hanFillers)) {
    isFiller.fill(true, match.index, match.index + match[0].length);
  }
  return pairsOf(text).map((pair, at) => {
    const weight = isFiller[at] || isFiller[at + pair.length - 1] ? fillerWeight : 1;
    return { text: pair, isHan: true, weight };
  });
}

function contentOf(text: string): string {
  return runsOf(text)
    .map(({ text: word, isHan }) => (isHan ? word.replace(hanFillers, '') : fillers.has(word) ? '' : word))
    .join('');
}
