import { readFileSync } from 'node:fs';

/** A query of `queries.tsv`: what a user types, and the topics that are a right answer. */
export interface JudgedQuery {
  readonly query: string;
  readonly topics: readonly string[];
  readonly kind: string;
  /** The ranking is tuned on one part; the other, a third, only says how it does on what nobody looked at. */
  readonly part: 'tuned' | 'held';
}

export function readQueries(): readonly JudgedQuery[] {
  const [, ...lines] = readFileSync('test/search/queries.tsv', 'utf8').trim().split('\n');
  return lines.map((line) => {
    const [query = '', topics = '', kind = '', part = ''] = line.split('\t');
    return { query, topics: topics.split(' '), kind, part: part === 'held' ? 'held' : 'tuned' };
  });
}

export interface Judgement {
  readonly first: number;
  readonly withinThree: number;
  /** Queries whose first row is wrong, each with what came instead. */
  readonly misses: readonly string[];
}

/** How often a search has a right topic first, and within three rows, in percent. */
export function judge(queries: readonly JudgedQuery[], find: (query: string) => readonly string[]): Judgement {
  const ranks = queries.map(({ query, topics }) => {
    const found = find(query);
    return { query, topics, found, rank: found.findIndex((id) => topics.includes(id)) };
  });
  const percent = (isGood: (rank: number) => boolean) =>
    (100 * ranks.filter(({ rank }) => isGood(rank)).length) / Math.max(1, ranks.length);
  return {
    first: percent((rank) => rank === 0),
    withinThree: percent((rank) => rank >= 0 && rank < 3),
    misses: ranks
      .filter(({ rank }) => rank !== 0)
      .map(({ query, topics, found }) => `${query}: ${found.slice(0, 3).join(', ')} instead of ${topics.join(' or ')}`),
  };
}
