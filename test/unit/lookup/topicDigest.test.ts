import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { topicDigest } from '../../../src/core/lookup/topicDigest';
import { libraryOf } from '../search/libraryOf';

const article = [
  '## In one line\n\nIt is a loss.',
  '## Intuition\n\nThink of it.',
  '## Formula\n\n$$\nx\n$$\n\n![A curve.](figure-a.svg)',
  '## In PyTorch\n\n```python\nprint(1)\n```',
  '## Pitfalls\n\n### It is NaN\n\nSee [softmax](topic:softmax).',
].join('\n\n');

const sources = {
  references: [
    { title: 'A page', url: 'https://example.org/page', language: 'en' },
    { title: '一页', url: 'https://example.org/ye', language: 'zh-cn' },
  ],
  papers: [{ title: 'A paper', authors: 'Someone', year: 2020, url: 'https://example.org/paper' }],
  figures: [],
} as const;

function digest(language: 'en' | 'zh-cn' = 'en', text: string | undefined = article): readonly string[] {
  const library = libraryOf({
    loss: { title: { en: 'A loss', 'zh-cn': '损失' }, symbols: ['torch.nn.Loss'] },
    other: {},
  });
  const [topic, other] = library.topics;
  assert.ok(topic && other);
  return topicDigest({ topic, language, article: text, sources, link: 'vscode://x/topic/loss', others: [other] });
}

suite('the digest of a topic', () => {
  test('gives the answer, the formula, the traps and the sources before the rest', () => {
    const heads = digest().map((part) => part.split('\n')[0]);
    assert.deepEqual(heads, [
      '# A loss',
      '## In one line',
      '## Formula',
      '## Pitfalls',
      '## Sources',
      '## In PyTorch',
      'Python: `torch.nn.Loss`',
      'Other topics: other (other)',
    ]);
  });

  test('leaves out pictures and links that lead nowhere outside', () => {
    const text = digest().join('\n');
    assert.doesNotMatch(text, /figure-a|topic:softmax/);
    assert.match(text, /See softmax\./);
  });

  test('cites papers, and references in the reader’s language', () => {
    const cited = digest('zh-cn', undefined).find((part) => part.startsWith('## Sources'));
    assert.match(cited ?? '', /Someone: A paper \(2020\).*一页/s);
    assert.doesNotMatch(cited ?? '', /A page/);
  });

  test('says what there is where the article is not written', () => {
    assert.match(digest('zh-cn', undefined)[0] ?? '', /^# 损失\n\nML Field Notes: vscode:\/\/x/);
  });
});
