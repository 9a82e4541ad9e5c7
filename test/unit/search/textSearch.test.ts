import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { textSections } from '../../../src/build/articleText';
import { renderArticleBody } from '../../../src/core/article/articleBody';
import { languages } from '../../../src/core/library/language';
import { createTextSearch } from '../../../src/core/search/search';
import type { TextFile } from '../../../src/core/search/textSearch';
import { libraryOf } from './libraryOf';

const text: TextFile = {
  focal: [
    { anchor: 'in-one-line', heading: 'In one line', passages: ['Focal loss turns down easy examples.'] },
    {
      anchor: 'pitfalls-1',
      heading: 'The loss is NaN',
      passages: ['Take raw logits, not probabilities.', 'NaN comes from log 0.'],
    },
  ],
  entropy: [
    { anchor: 'formula', heading: 'Formula', passages: ['The loss of raw logits is stable. 交叉熵先做 softmax。'] },
  ],
};

suite('the text of the articles', () => {
  const find = async (query: string) => {
    const search = await createTextSearch(libraryOf({ focal: {}, entropy: {} }), text);
    return search.find(query).map(({ topic, anchor }) => `${topic.id}#${anchor}`);
  };

  test('is found by all of its words, heading included, the best passage of a section once', async () => {
    assert.deepEqual(await find('loss nan'), ['focal#pitfalls-1']);
    assert.deepEqual(await find('raw logits'), ['focal#pitfalls-1', 'entropy#formula']);
    assert.deepEqual(await find('raw bananas'), []);
  });

  test('is found in Chinese, which has no spaces', async () => {
    assert.deepEqual(await find('交叉熵'), ['entropy#formula']);
  });

  test('is not searched for a single letter', async () => {
    assert.deepEqual(await find('a'), []);
    assert.deepEqual(await find(' '), []);
  });

  test('comes with the words around and as it is written there', async () => {
    const search = await createTextSearch(libraryOf({ long: {} }), {
      long: [
        {
          anchor: 'intuition',
          heading: 'Intuition',
          passages: [`${'before '.repeat(20)}Raw Logits${' after'.repeat(40)}`],
        },
      ],
    });
    const [result] = search.find('raw logits');
    assert.equal(result?.found, 'Raw Logits');
    assert.match(result?.excerpt ?? '', /^…before .*Raw Logits after.*…$/);
    assert.ok((result?.excerpt.length ?? 0) < 170);
  });

  test('has the anchors of the article page', () => {
    const folder = 'resources/notes/layers/normalization-layers/layer-normalization';
    for (const language of languages) {
      const article = readFileSync(`${folder}/${language}.md`, 'utf8');
      const page = renderArticleBody(article, language, { figures: new Map(), hasTopic: () => true });
      const anchors = textSections(article, language).map((section) => section.anchor);
      assert.ok(anchors.length > 8);
      assert.deepEqual(
        anchors.filter((anchor) => !page.headings.some((heading) => heading.id === anchor)),
        [],
      );
    }
  });

  test('is plain: no Markdown, no TeX commands, no output of code', () => {
    const article = [
      '## Formula',
      'The **variance** of [BN](topic:batch-normalization) is $\\sigma^2 = \\frac{1}{n}$.',
      '',
      '$$\n\\mu = 0\n$$',
      '',
      '| | A |\n|---|---|\n| B | `c` |',
      '',
      '```python\nprint(2 ** 3)\n```',
      '',
      '```output\n8\n```',
    ].join('\n');
    assert.deepEqual(textSections(article, 'en'), [
      {
        anchor: 'formula',
        heading: 'Formula',
        passages: ['The variance of BN is σ^2 = 1/n.', 'A', 'B · c', 'print(2 ** 3)'],
      },
    ]);
  });
});
