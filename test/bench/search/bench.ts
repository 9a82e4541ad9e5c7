import { NoteLibrary } from '../../../src/core/library/noteLibrary';
import { createTopicSearch } from '../../../src/core/search/search';
import { searchEntries } from '../../../src/core/search/searchIndex';
import { readQueries } from '../../search/queries';
import { shippedSearch } from '../../search/shippedSearch';
import { quantile } from '../figures';
import { type Generated, generatedLibrary } from './generatedLibrary';
import { countLosses } from './losses';
import { PlainFuse } from './plainFuse';

/** The most that the slowest hundredth of our keystrokes may cost among 10,000 topics, as a share of plain fuse.js's. */
const budget = 0.06;

/** How many keystrokes are measured; plain fuse.js takes seconds for some among many topics. */
const keystrokesAt = (topics: number) => (topics < 1000 ? 1500 : topics < 5000 ? 600 : 300);

/**
 * What a keystroke costs in our search and in plain fuse.js, in the same run, among
 * today's topics and among generated ones; and the typing errors that plain fuse.js finds and ours does not. Times are
 * of the processor, so that what else the machine does is left out.
 */
export async function benchSearch(): Promise<void> {
  const { index, file } = await shippedSearch();
  for (const count of [index.topics.length, 2000, 10_000]) {
    await compare(generatedLibrary(index, file, count), count);
  }
  const { errors, foundByOurs, foundByFuse, losses } = await countLosses();
  console.log(`typing errors ${errors}: within three rows by ours ${foundByOurs}, by plain fuse.js ${foundByFuse}`);
  console.log(`found by plain fuse.js and not by ours: ${losses.length}\n${losses.join('\n')}`);
}

async function compare({ index, file }: Generated, count: number): Promise<void> {
  const library = new NoteLibrary(index);
  const built = await buildTimes((pause) => createTopicSearch(library, file, pause));
  const fuse = new PlainFuse(searchEntries(library, file));
  const typed = keystrokes(keystrokesAt(count));
  const ours = times(typed, (text) => built.search.find(text));
  const theirs = times(typed, (text) => fuse.find(text));
  const ratio = quantile(ours, 0.99) / quantile(theirs, 0.99);
  console.log(`${count} topics, ${typed.length} keystrokes`);
  console.log(`  plain fuse.js  ${describe(theirs)}`);
  console.log(
    `  ours           ${describe(ours)}; index built in ${ms(built.total)}, longest slice ${ms(built.slice)}`,
  );
  console.log(`  p99 of ours is ${ratio.toFixed(3)} of plain fuse.js's${count >= 10_000 ? ` (budget ${budget})` : ''}`);
}

async function buildTimes<T>(build: (pause: () => Promise<void>) => Promise<T>) {
  const slices: number[] = [];
  let start = processorTime();
  const search = await build(async () => {
    slices.push(processorTime() - start);
    await new Promise((resolve) => setTimeout(resolve));
    start = processorTime();
  });
  slices.push(processorTime() - start);
  return { search, total: slices.reduce((sum, slice) => sum + slice, 0), slice: Math.max(...slices) };
}

/** What stands in the box after each key, evenly over all queries. */
function keystrokes(count: number): readonly string[] {
  const all = readQueries().flatMap(({ query }) => [...query].map((_, at) => query.slice(0, at + 1)));
  return Array.from({ length: count }, (_, at) => all[Math.floor((at * all.length) / count)] ?? '');
}

function times(typed: readonly string[], find: (text: string) => unknown): readonly number[] {
  typed.slice(0, 30).forEach(find);
  return typed.map((text) => {
    const start = processorTime();
    find(text);
    return processorTime() - start;
  });
}

function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function describe(values: readonly number[]): string {
  return `median ${ms(quantile(values, 0.5))}, p99 ${ms(quantile(values, 0.99))}`;
}

function ms(value: number): string {
  return `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ms`;
}
