import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseFromPage } from '../../../src/protocol/articleMessages';
import { parseArticleState } from '../../../src/protocol/articleState';
import { goBack, goForward, goTo, moved, startReading, switchLanguage } from '../../../src/protocol/readingHistory';

suite('reading history', () => {
  const first = startReading('adam', 'en');

  test('goes back to the place that was left, and forward again', () => {
    const read = moved(first, 'adam', { anchor: 'pitfalls', offset: 12 }, ['questions-1']);
    const second = goTo(read, 'adamw');
    const back = goBack(second);
    assert.deepEqual(back?.place, { topic: 'adam', anchor: 'pitfalls', offset: 12 });
    assert.equal(goForward(back ?? first)?.place.topic, 'adamw');
    assert.equal(goBack(first), undefined);
    assert.equal(goForward(first), undefined);
  });

  test('forgets what lay ahead when a new way is taken', () => {
    const back = goBack(goTo(first, 'adamw')) ?? first;
    assert.deepEqual(goTo(back, 'relu').forward, []);
  });

  test('remembers a bounded number of stops', () => {
    let state = first;
    for (let stop = 0; stop < 200; stop += 1) {
      state = goTo(state, `topic-${stop}`);
    }
    assert.equal(state.back.length, 50);
    assert.equal(state.back.at(-1)?.topic, 'topic-198');
  });

  test('ignores late news of an article that is gone', () => {
    assert.equal(moved(first, 'relu', { anchor: 'formula', offset: 0 }, []), first);
  });

  test('keeps the heading when the language changes', () => {
    const read = moved(first, 'adam', { anchor: 'pitfalls-2', offset: 40 }, []);
    assert.deepEqual(switchLanguage(read, 'zh-cn').place, { topic: 'adam', anchor: 'pitfalls-2', offset: 0 });
  });

  test('survives storage, and anything else is dropped', () => {
    const state = goTo(first, 'relu', { anchor: 'formula', offset: 3 });
    assert.deepEqual(parseArticleState(JSON.parse(JSON.stringify(state))), state);
    const broken = [
      undefined,
      null,
      3,
      {},
      { ...state, version: 0 },
      { ...state, language: 'fr' },
      { ...state, place: { topic: 1 } },
      { ...state, back: [3] },
    ];
    assert.deepEqual(
      broken.map(parseArticleState),
      broken.map(() => undefined),
    );
  });
});

suite('messages of the page', () => {
  test('are taken when they are whole', () => {
    assert.deepEqual(parseFromPage({ type: 'openTopic', topic: 'adam', anchor: 'formula', beside: true }), {
      type: 'openTopic',
      topic: 'adam',
      anchor: 'formula',
      beside: true,
    });
    assert.deepEqual(parseFromPage({ type: 'openExternal', url: 'https://arxiv.org/abs/1' }), {
      type: 'openExternal',
      url: 'https://arxiv.org/abs/1',
    });
  });

  test('are dropped when they are anything else', () => {
    const bad = [
      null,
      'ready',
      {},
      { type: 'eval' },
      { type: 'openTopic' },
      { type: 'openExternal', url: 'file:///etc/passwd' },
      { type: 'openExternal', url: 'command:x' },
      { type: 'moved', topic: 'a', position: { anchor: 'b' } },
    ];
    assert.deepEqual(
      bad.map(parseFromPage),
      bad.map(() => undefined),
    );
  });
});
