import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { NoteLibrary, parseLibraryIndex } from '../../src/core/library/noteLibrary';
import { createTopicSearch } from '../../src/core/search/search';
import { type SearchFile, searchEntries } from '../../src/core/search/searchIndex';
import { root } from '../support/paths';
import type { Comparison } from './figures';
import { PlainFuse } from './search/plainFuse';

const typed = [
  'layer normalization',
  'layernrom',
  'bce with logits',
  'F.softmax',
  '层归一化',
  '学习率',
  'jiaochashang',
  'adamw',
];

/** One keystroke of each query's typing: our ranking beside plain fuse.js over the same texts. */
export async function measureSearch(): Promise<Comparison> {
  const library = new NoteLibrary(parseLibraryIndex(readFileSync(join(root, 'dist/index.json'), 'utf8')));
  const file = JSON.parse(readFileSync(join(root, 'dist/search.json'), 'utf8')) as SearchFile;
  const ours = await createTopicSearch(library, file);
  const fuse = new PlainFuse(searchEntries(library, file));
  const keystrokes = typed.flatMap((query) => [...query].map((_, end) => query.slice(0, end + 1)));
  const measure = () => ({
    ours: keystrokes.map((text) => timedSync(() => ours.find(text))),
    floor: keystrokes.map((text) => timedSync(() => fuse.find(text))),
  });
  measure();
  return measure();
}

function timedSync(body: () => unknown): number {
  const start = performance.now();
  body();
  return performance.now() - start;
}
