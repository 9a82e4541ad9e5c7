import Fuse from 'fuse.js';
import type { Topic } from '../library/topic';
import { normalized, squeezed } from './normalize';
import { keyKinds, type SearchEntry, type SearchKey } from './searchIndex';

/** A topic that was found, and the text that it was found by. */
export interface SearchResult {
  readonly topic: Topic;
  readonly reason: SearchKey;
}

/** How well a key fits, best first. Cheaper than fuse.js and right more often, so it decides; fuse.js catches typing errors. */
const tiers = ['exact', 'prefix', 'words', 'inside', 'scattered', 'fuzzy'] as const;

interface Hit extends SearchResult {
  readonly score: number;
}

/** Finds topics by English, Chinese, pinyin, abbreviations and Python names, with typing errors. */
export class TopicSearch {
  readonly #entries: readonly SearchEntry[];
  #fuse: Fuse<SearchEntry> | undefined;

  constructor(entries: readonly SearchEntry[]) {
    this.#entries = entries;
  }

  /** The topics that fit, best first. */
  find(query: string, limit = 50): readonly SearchResult[] {
    const text = normalized(query);
    if (text === '') {
      return [];
    }
    const hits = this.#entries.flatMap((entry) => bestHit(entry, text) ?? []);
    const found = new Set(hits.map((hit) => hit.topic));
    const all = [...hits, ...this.#fuzzy(text).filter((hit) => !found.has(hit.topic))];
    return all.sort((one, other) => one.score - other.score).slice(0, limit);
  }

  #fuzzy(text: string): readonly Hit[] {
    if (text.length < 2) {
      return [];
    }
    this.#fuse ??= new Fuse(this.#entries, {
      keys: [
        {
          name: 'keys',
          weight: 1,
          getFn: (entry) => entry.keys.filter((key) => key.kind !== 'summary').map((key) => key.text),
        },
      ],
      threshold: 0.35,
      ignoreLocation: true,
      includeScore: true,
      includeMatches: true,
      minMatchCharLength: 2,
    });
    return this.#fuse.search(text).flatMap(({ item, score = 1, matches }) => {
      const at = matches?.[0]?.refIndex ?? 0;
      const reason = item.keys.filter((key) => key.kind !== 'summary')[at] ?? item.keys[0];
      return reason ? { topic: item.topic, reason, score: tiers.indexOf('fuzzy') + score } : [];
    });
  }
}

function bestHit(entry: SearchEntry, text: string): Hit | undefined {
  let best: Hit | undefined;
  for (const reason of entry.keys) {
    const score = scoreOf(reason, text);
    if (score !== undefined && (best === undefined || score < best.score)) {
      best = { topic: entry.topic, reason, score };
    }
  }
  return best ?? scattered(entry, text);
}

/** Tier, then kind of key, then how much of the key was typed; below 1 in sum, so that a tier is never left. */
function scoreOf(key: SearchKey, text: string): number | undefined {
  const tier = tierOf(key, text);
  if (tier === undefined) {
    return undefined;
  }
  const kind = keyKinds.indexOf(key.kind) / keyKinds.length;
  const untyped = 1 - Math.min(1, text.length / key.text.length);
  return tiers.indexOf(tier) + 0.55 * kind + 0.4 * untyped;
}

function tierOf(key: SearchKey, text: string): (typeof tiers)[number] | undefined {
  const plain = squeezed(text);
  if (key.kind === 'summary') {
    return plain.length > 2 && key.text.includes(text) ? 'scattered' : undefined;
  }
  if (key.squeezed === plain) {
    return 'exact';
  }
  if (key.squeezed.startsWith(plain)) {
    return 'prefix';
  }
  if (startsWords(key.text, text)) {
    return 'words';
  }
  return plain.length > 1 && key.squeezed.includes(plain) ? 'inside' : undefined;
}

/** Each typed word starts a word of the key, in any order. */
function startsWords(key: string, text: string): boolean {
  const words = key.split(/[ .]/);
  return text.split(/[ .]/).every((typed) => words.some((word) => word.startsWith(typed)));
}

/** The typed words are spread over several keys: `bce logits`. */
function scattered(entry: SearchEntry, text: string): Hit | undefined {
  const words = text.split(' ');
  const [reason] = entry.keys;
  if (words.length < 2 || !reason) {
    return undefined;
  }
  const all = words.every((word) =>
    entry.keys.some((key) => key.kind !== 'summary' && key.squeezed.includes(squeezed(word))),
  );
  return all ? { topic: entry.topic, reason, score: tiers.indexOf('scattered') } : undefined;
}
