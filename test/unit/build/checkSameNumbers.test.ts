import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { checkSameNumbers } from '../../../src/build/checkSameNumbers';
import { describeProblem, Problems } from '../../../src/build/problems';
import type { TopicFolder } from '../../../src/build/readNotes';

function mistakes(english: string, chinese: string): readonly string[] {
  const problems = new Problems();
  const articles = new Map([
    ['en', english],
    ['zh-cn', chinese],
  ]);
  checkSameNumbers({ folder: 'notes/adam', articles } as unknown as TopicFolder, problems);
  return problems.all.map(describeProblem);
}

suite('both articles state the same numbers', () => {
  test('a number that one of them lacks is named', () => {
    assert.deepEqual(mistakes('about 0.75 of 64', '约 0.76，共 64 个'), [
      'notes/adam/zh-cn.md:1: does not state what en.md states: 0.75',
      'notes/adam/en.md:1: does not state what zh-cn.md states: 0.76',
    ]);
  });

  test('separators, units of ten thousand and small numbers in words do not matter', () => {
    assert.deepEqual(mistakes('100,000 anchors, 1,536 units, three sizes', '十万个锚框，1536 个单元，3 种尺寸'), []);
    assert.deepEqual(mistakes('1.25 million', '125 万'), []);
    assert.deepEqual(mistakes('$1{,}536$ values', '1,536 个值'), []);
  });

  test('code is not prose', () => {
    assert.deepEqual(mistakes('```python\nprint(17)\n```\n', ''), []);
  });
});
