import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { type Meaning, MeaningFinder } from '../../../src/core/python/meaning';
import { type PythonTree, parsePython } from '../../../src/core/python/syntax/parse';
import { seededRandom } from '../../eval/seededRandom';
import { symbolAtCursor, table } from './cursor';

/** Real code of this repository: the checks of the notes and the files of the fixture workspace. */
const sources = [
  ...filesBelow('resources/notes').filter((file) => file.endsWith('checks.py')),
  ...filesBelow('test/fixtures/workspace').filter((file) => file.endsWith('.py')),
].map((file) => readFileSync(file, 'utf8'));

function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => join(folder, name));
}

const random = seededRandom(20);

function below(limit: number): number {
  return Math.floor(random() * limit);
}

function oneOf<T>(things: readonly T[]): T {
  const thing = things[below(things.length)];
  assert.ok(thing !== undefined);
  return thing;
}

/** What a hand slips into a text: quotes and brackets that stay open, line breaks, words that start something. */
const slips = [
  '"',
  "'",
  '"""',
  'f"{',
  '(',
  ')',
  '[',
  ']',
  '{',
  '}',
  '\n',
  '\r\n',
  '\\',
  ':',
  ':=',
  '.',
  ',',
  '*',
  '@',
  '0.',
];
const words = [
  ' import ',
  ' from ',
  ' as ',
  ' for x in ',
  ' lambda ',
  ' def ',
  ' class ',
  ' with ',
  ' global nn ',
  '\u{1f600}',
];

const mutations: readonly ((text: string) => string)[] = [
  (text) => text.slice(0, below(text.length)),
  (text) => replaced(text, below(12), ''),
  (text) => replaced(text, 0, oneOf(slips)),
  (text) => replaced(text, 0, oneOf(words)),
  (text) => replaced(text, below(200), oneOf(slips)),
  (text) => reindented(text),
];

function replaced(text: string, length: number, by: string): string {
  const at = below(text.length);
  return text.slice(0, at) + by + text.slice(at + length);
}

function reindented(text: string): string {
  const lines = text.split('\n');
  const at = below(lines.length);
  lines[at] = oneOf(['', ' ', '  ', '\t', '        ']) + (lines[at] ?? '').trimStart();
  return lines.join('\n');
}

async function parsed(text: string, previous?: PythonTree): Promise<PythonTree> {
  const tree = await parsePython(text, previous, () => false);
  assert.ok(tree);
  return tree;
}

async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

const plainTimes = new Map<string, number>();

/** How long a file takes to be parsed as it is. */
async function plainTime(source: string): Promise<number> {
  const time = plainTimes.get(source) ?? (await timed(async () => void (await parsed(source))));
  plainTimes.set(source, time);
  return time;
}

function meaningsOf(tree: PythonTree): readonly Meaning[] {
  return [...new MeaningFinder(tree, table).all()];
}

suite('broken code', () => {
  test('1,000 truncations and mutations of real files: no exception, no hang', async () => {
    for (let round = 0; round < 1000; round += 1) {
      const source = oneOf(sources);
      let text = source;
      for (let count = 1 + below(3); count > 0; count -= 1) {
        text = oneOf(mutations)(text);
      }
      const plain = await plainTime(source);
      const taken = await timed(async () => {
        const finder = new MeaningFinder(await parsed(text), table);
        for (let asked = 0; asked < 20; asked += 1) {
          finder.at(below(text.length + 1));
        }
      });
      // Generous, since other work on the machine counts as well: a hang is a matter of minutes.
      assert.ok(taken < 2000 + 50 * plain, `${taken} ms in round ${round} for\n${text}`);
    }
  });

  test('every name of a broken file can be asked for', async () => {
    for (let round = 0; round < 100; round += 1) {
      meaningsOf(await parsed(oneOf(mutations)(oneOf(sources))));
    }
  });
});

suite('names bound to each other without end', () => {
  const many = (line: string) => `${line}\n`.repeat(60);
  for (const code of [
    `def f():\n  global x\n${many('  x = x or y or x')}x|`,
    `for a in b:\n${many('  x = x or y or x')}  x|`,
    `while a:\n${many('  x = y if x else x')}${many('  y = x if y else y')}  x|`,
    `class A:\n  def f(self):\n${many('    self.x = self.x or self.y')}${many('    self.y = self.x or self.y')}    self.x|`,
    `${many('x = x or x or x')}x|`,
  ]) {
    test(JSON.stringify(code.slice(0, 60)), async () => {
      assert.ok((await timed(async () => void (await symbolAtCursor(code)))) < 2000);
    });
  }
});

suite('incremental parsing', () => {
  test('after each of 300 edits the meanings are those of a new parse', async () => {
    for (let round = 0; round < 30; round += 1) {
      let tree = await parsed(oneOf(sources));
      for (let edit = 0; edit < 10; edit += 1) {
        tree = await parsed(oneOf(mutations.slice(1))(tree.text), tree);
        assert.deepEqual(meaningsOf(tree), meaningsOf(await parsed(tree.text)));
      }
    }
  });

  test('a mistake leaves no trace when it is mended', async () => {
    for (let round = 0; round < 300; round += 1) {
      const tree = await parsed(oneOf(sources));
      const broken = await parsed(oneOf(mutations)(tree.text), tree);
      const mended = await parsed(tree.text, broken);
      assert.equal(mended.tree.toString(), tree.tree.toString());
    }
  });
});
