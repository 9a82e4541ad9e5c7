import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { checkCalculators } from '../../../src/build/checkCalculators';
import { describeProblem, Problems } from '../../../src/build/problems';
import type { TopicFolder } from '../../../src/build/readNotes';

const fence = (content: string) => `\`\`\`calculator\n${content}\n\`\`\`\n`;

function mistakes(english: string, chinese = english.replace('## Try it', '## 动手试试')): readonly string[] {
  const problems = new Problems();
  const articles = new Map([
    ['en', english],
    ['zh-cn', chinese],
  ]);
  checkCalculators({ folder: 'notes/adam', articles } as unknown as TopicFolder, problems);
  return problems.all.map(describeProblem);
}

suite('the build checks calculators', () => {
  test('a known one with inputs of its own is fine', () => {
    assert.deepEqual(mistakes(`## Try it\n\nTry.\n\n${fence('output-size\nlayer: pooling\npadding: 0')}`), []);
    assert.deepEqual(mistakes('## Formula\n\nNo calculator.\n'), []);
  });

  test('an unknown one is named with file and line, in both languages', () => {
    assert.deepEqual(mistakes(`## Try it\n\nTry.\n\n${fence('loss-landscape')}`), [
      'notes/adam/en.md:6: there is no calculator loss-landscape (see resources/README.md)',
      'notes/adam/zh-cn.md:6: there is no calculator loss-landscape (see resources/README.md)',
    ]);
  });

  const wrong: readonly (readonly [string, string])[] = [
    ['output-size\nsize 3', 'notes/adam/en.md:5: below the name stand lines of the form input: value'],
    ['output-size\nheight: 3', 'notes/adam/en.md:5: the calculator output-size has no input height'],
    ['output-size\nlayer: dense', 'notes/adam/en.md:5: layer has no option dense'],
    ['output-size\nsize: 0', 'notes/adam/en.md:5: size: Enter a whole number from 1 to 100,000.'],
    [
      'output-size\nsize: 1\npadding: 0',
      'notes/adam/en.md:4: kernel: The kernel spans 7 cells, the padded input has only 1.',
    ],
  ];
  for (const [content, first] of wrong) {
    test(first, () => assert.equal(mistakes(`## Try it\n\n${fence(content)}`)[0], first));
  }

  test('both languages have the same ones', () => {
    const chinese = `## 动手试试\n\n${fence('softmax-temperature')}`;
    assert.deepEqual(mistakes(`## Try it\n\n${fence('output-size')}`, chinese), [
      'notes/adam/zh-cn.md:4: the calculators differ from those of en.md',
    ]);
    assert.deepEqual(mistakes(`## Try it\n\n${fence('output-size')}`, '## 公式\n'), [
      'notes/adam/zh-cn.md:1: the calculators differ from those of en.md',
    ]);
  });

  test('they stand in their section, once, and the section is not without one', () => {
    assert.equal(
      mistakes(`## Formula\n\n${fence('output-size')}`)[0],
      'notes/adam/en.md:4: a calculator stands in the section "Try it"',
    );
    assert.equal(mistakes('## Try it\n\nTry.\n')[0], 'notes/adam/en.md:1: the section "Try it" holds no calculator');
    assert.equal(
      mistakes(`## Try it\n\n${fence('output-size')}\n${fence('output-size')}`)[0],
      'notes/adam/en.md:8: the calculator output-size stands twice',
    );
  });
});
