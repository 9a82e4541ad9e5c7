import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseFromPage } from '../../../src/protocol/articleMessages';
import { parseArticleState } from '../../../src/protocol/articleState';
import { calculated, goBack, goTo, startReading, switchLanguage } from '../../../src/protocol/readingHistory';

suite('inputs of calculators in the state of a panel', () => {
  const first = calculated(startReading('softmax', 'en'), 'softmax', 'softmax-temperature', { temperature: '0.5' });
  const kept = { softmax: { 'softmax-temperature': { temperature: '0.5' } } };

  test('survive storage, a switch of language, and the way to another topic and back', () => {
    assert.deepEqual(first.calculators, kept);
    assert.deepEqual(parseArticleState(JSON.parse(JSON.stringify(first))), first);
    assert.deepEqual(switchLanguage(first, 'zh-cn').calculators, kept);
    assert.deepEqual(goBack(goTo(first, 'adam'))?.calculators, kept);
  });

  test('are forgotten when they are reset', () => {
    assert.deepEqual(calculated(first, 'softmax', 'softmax-temperature', {}).calculators, {});
    const two = calculated(first, 'softmax', 'loss-curves', { p: '0.2' });
    assert.deepEqual(calculated(two, 'softmax', 'loss-curves', {}).calculators, kept);
  });

  test('a broken one costs itself alone', () => {
    const read = (calculators: unknown) => parseArticleState({ ...first, calculators })?.calculators;
    for (const broken of [undefined, null, 3, 'x', [], [1]]) {
      assert.deepEqual(read(broken), {});
    }
    assert.deepEqual(
      read({ softmax: { 'softmax-temperature': { temperature: '0.5', logits: 3, long: 'x'.repeat(9999) } } }),
      kept,
    );
    assert.deepEqual(read({ softmax: { 'softmax-temperature': { temperature: '0.5' }, other: 7 }, adam: null }), {
      softmax: { ...kept.softmax, other: {} },
      adam: {},
    });
  });

  test('are checked when the page sends them', () => {
    const message = {
      type: 'calculated',
      topic: 'softmax',
      calculator: 'softmax-temperature',
      inputs: { temperature: '2' },
    };
    assert.deepEqual(parseFromPage(message), message);
    assert.deepEqual(parseFromPage({ ...message, inputs: 'x' }), { ...message, inputs: {} });
    assert.equal(parseFromPage({ ...message, topic: 3 }), undefined);
  });
});
