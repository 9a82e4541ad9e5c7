import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { renderArticleBody } from '../../../src/core/article/articleBody';
import { calculators } from '../../../src/core/calculator/calculators';
import { outcomeHtml, spokenResults } from '../../../src/core/calculator/outcomeHtml';
import { ticks } from '../../../src/core/calculator/plotSvg';
import { readInputs } from '../../../src/core/calculator/readInputs';
import { withStaticCalculators } from '../../../src/core/calculator/staticCalculators';
import { languages } from '../../../src/core/library/language';

const nothing = { figures: new Map<string, string>(), hasTopic: () => true };

suite('what a calculator shows', () => {
  for (const calculator of calculators) {
    test(`${calculator.name}: results and plots have names, and every drawing stays within numbers`, () => {
      const outcome = calculator.calculate(readInputs(calculator.inputs, {}).values);
      assert.ok('results' in outcome);
      for (const language of languages) {
        const html = outcomeHtml(outcome, language);
        assert.doesNotMatch(html, /NaN|undefined|Infinity|style=|<script/);
        assert.equal(html.match(/role="img"/g)?.length ?? 0, outcome.plots?.length ?? 0);
        assert.doesNotMatch(html, /aria-label=""/);
        assert.match(spokenResults(outcome, language), /\S.*[.。]$/);
      }
    });
  }

  test('ticks are round numbers within the range', () => {
    assert.deepEqual(ticks(0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1]);
    assert.deepEqual(ticks(-6, 6), [-6, -4, -2, 0, 2, 4, 6]);
    assert.deepEqual(ticks(0, 0), [0]);
    assert.ok(ticks(0, 99).length <= 7);
  });
});

suite('a calculator on a page that stands alone', () => {
  test('is the table of what it starts with', () => {
    const { html } = renderArticleBody('## Try it\n\n```calculator\noutput-size\nkernel: 3\n```\n', 'en', nothing);
    const page = withStaticCalculators(html, 'en');
    assert.doesNotMatch(page, /data-calculator/);
    assert.match(page, /<th scope="row">Kernel size k<\/th><td>3<\/td>/);
    assert.match(page, /data-result="size">114</);
    assert.match(withStaticCalculators(html, 'zh-cn'), /核大小 k/);
  });

  test('all of them can be written', () => {
    for (const { name } of calculators) {
      const { html } = renderArticleBody(`## Try it\n\n\`\`\`calculator\n${name}\n\`\`\`\n`, 'en', nothing);
      assert.match(withStaticCalculators(html, 'en'), /class="results"/, name);
    }
  });
});
