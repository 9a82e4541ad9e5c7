import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { renderArticleBody } from '../../../src/core/article/articleBody';
import { renderArticle } from '../../../src/core/article/renderArticle';
import { NoteLibrary } from '../../../src/core/library/noteLibrary';
import type { Topic } from '../../../src/core/library/topic';

function topicWith(id: string, more: Partial<Topic> = {}): Topic {
  return {
    id,
    type: 'concept',
    category: 'basics',
    title: { en: `Title of ${id}`, 'zh-cn': `标题 ${id}` },
    aliases: [],
    symbols: [],
    related: [],
    prerequisites: [],
    hasArticle: true,
    referenceCount: 0,
    ...more,
  };
}

function libraryOf(...topics: readonly Topic[]): NoteLibrary {
  return new NoteLibrary({ format: 1, categories: [], topics });
}

const nothing = { references: [], papers: [], figures: [] };
const bare = { figures: new Map<string, string>(), hasTopic: (id: string) => id === 'adam' };
const body = (text: string) => renderArticleBody(text, 'en', bare);

suite('an article', () => {
  test('gives sections the same anchors in both languages', () => {
    const english = renderArticleBody('## Pitfalls\n\n### One\n\n### Two\n', 'en', bare);
    const chinese = renderArticleBody('## 常见陷阱\n\n### 甲\n\n### 乙\n', 'zh-cn', bare);
    const ids = ['pitfalls', 'pitfalls-1', 'pitfalls-2'];
    assert.deepEqual(
      english.headings.map((heading) => heading.id),
      ids,
    );
    assert.deepEqual(
      chinese.headings.map((heading) => heading.id),
      ids,
    );
  });

  test('folds the answers of questions, each under its question', () => {
    const { html } = body('## Questions\n\n### Why $x$?\n\nBecause.\n\n### How?\n\nSo.\n');
    assert.match(
      html,
      /<details id="questions-1"><summary>Why .*katex.*<\/summary>\s*<p>Because\.<\/p>\s*<\/details>/s,
    );
    assert.equal(html.match(/<details/g)?.length, html.match(/<\/details>/g)?.length);
  });

  test('links to topics by id and shows an unknown one as text', () => {
    const { html } = body('[a](topic:adam#formula) [b](topic:nothing) [c](https://example.org/x?a=1&b=2)');
    assert.match(html, /<a href="#" data-topic="adam" data-anchor="formula">a<\/a>/);
    assert.match(html, /<a class="missing">b<\/a>/);
    assert.match(
      html,
      /<a href="https:\/\/example\.org\/x\?a=1&#38;amp;b=2" data-external>|<a href="https:\/\/example\.org\/x\?a=1&#38;b=2" data-external>/,
    );
  });

  test('lets no HTML, script address or trusted TeX through', () => {
    const { html } = body(
      '<img src=x onerror=alert(1)> [x](javascript:alert(1)) $\\href{javascript:alert(1)}{x}$ $\\htmlId{a}{b}$',
    );
    assert.doesNotMatch(html, /<img|href="javascript|onerror=alert\(1\)>/);
  });

  test('shows a formula that does not compile as its source, escaped, with the reason', () => {
    const { html } = body('$\\frac{<b>}{$');
    assert.doesNotMatch(html, /<b>/);
    assert.match(html, /katex-error/);
  });

  test('stops a formula that would expand for ever', () => {
    const { html } = body('$\\def\\a{\\a\\a}\\a$');
    assert.match(html, /katex-error|Too many expansions/);
  });

  test('keeps macros of one article out of the next', () => {
    body('$\\gdef\\mine{x}\\mine$');
    assert.match(body('$\\mine$').html, /katex-error|color:\s*#cc0000/);
  });

  test('marks tokens of Python and shows what it prints apart', () => {
    const { html } = body('```python\nimport torch\n```\n\n```output\n<1>\n```\n');
    assert.match(html, /hljs-keyword/);
    assert.match(html, /<pre class="output"><code>&#60;1&#62;/);
  });

  test('inlines a figure with its statement for screen readers and says when one is missing', () => {
    const figures = new Map([['figure-a.svg', '<svg></svg>']]);
    const { html } = renderArticleBody('![It falls.](figure-a.svg)\n\n![Gone.](figure-b.svg)\n', 'en', {
      ...bare,
      figures,
    });
    assert.match(html, /^<figure><div aria-hidden="true"><svg><\/svg><\/div><figcaption>It falls\.<\/figcaption>/);
    assert.match(html, /missing-figure/);
  });

  test('joins lines between Chinese characters and keeps the space between words', () => {
    assert.match(body('一二\n三四，\n**五**\n六').html, /一二三四，<strong>五<\/strong>六/);
    assert.match(body('one\ntwo').html, /one\ntwo/);
    assert.match(body('用 `x`\n做').html, /<\/code>\n做/);
  });

  test('gives tables no empty heads', () => {
    const facts = body('| | |\n|---|---|\n| Input | x |\n').html;
    assert.doesNotMatch(facts, /<th/);
    const comparison = body('| | fast |\n|---|---|\n| A | yes |\n').html;
    assert.match(comparison, /<td><\/td>\s*<th>fast<\/th>/);
  });

  test('translates the labels of its figures', () => {
    const topic = topicWith('a');
    const sources = { ...nothing, figures: [{ file: 'figure-a.svg', labels: { 'step < 3': '步数 < 3' } }] };
    const figures = new Map([['figure-a.svg', '<svg><text>step &lt; 3</text><text>other</text></svg>']]);
    const parts = { topic, sources, figures, text: '![A](figure-a.svg)' };
    assert.match(
      renderArticle({ ...parts, language: 'zh-cn' }, libraryOf(topic)).opening,
      /<text>步数 &#60; 3<\/text><text>other<\/text>/,
    );
    assert.match(renderArticle({ ...parts, language: 'en' }, libraryOf(topic)).opening, /<text>step &lt; 3<\/text>/);
  });

  test('has title, line and picture in its opening and renders what follows when asked', () => {
    const topic = topicWith('a');
    const text =
      '## In one line\n\nA.\n\n## Intuition\n\nB.\n\n## Formula\n\n$x$\n\n### Part\n\n## Pitfalls\n\n### C\n\nD.\n';
    const parts = { topic, language: 'en', text, sources: nothing, figures: new Map() } as const;
    const { opening, rest, headings } = renderArticle(parts, libraryOf(topic));
    assert.match(opening, /Title of a.*<p>A\.<\/p>.*<p>B\.<\/p>/s);
    assert.doesNotMatch(opening, /katex|Pitfalls/);
    assert.match(rest(), /^<section aria-labelledby="formula">.*katex.*<h3 id="pitfalls-1".*<p>D\.<\/p>\n<\/section>/s);
    assert.deepEqual(
      headings.map(({ id }) => id),
      ['in-one-line', 'intuition', 'formula', 'formula-1', 'pitfalls', 'pitfalls-1'],
    );
  });

  test('without a text shows summary, references and related topics', () => {
    const topic = topicWith('a', {
      hasArticle: false,
      summary: { en: 'In short.', 'zh-cn': '简言之。' },
      related: ['b', 'gone'],
    });
    const references = [
      { title: 'A page', url: 'https://www.example.org/p', language: 'zh-cn', remark: 'old' } as const,
    ];
    const { opening, rest, headings } = renderArticle(
      { topic, language: 'en', text: undefined, sources: { ...nothing, references }, figures: new Map() },
      libraryOf(topic, topicWith('b')),
    );
    const html = opening + rest();
    assert.match(html, /In short\./);
    assert.match(html, /not written yet/);
    assert.match(html, /A page<\/a>.*example\.org.*Chinese.*old/s);
    assert.match(html, /data-topic="b">Title of b/);
    assert.deepEqual(
      headings.map((heading) => heading.id),
      ['references', 'related'],
    );
  });
});
