import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { coverageOf } from '../../src/build/coverage';
import type { CardFile } from '../../src/core/library/card';

const cards: CardFile = JSON.parse(readFileSync('dist/cards.json', 'utf8'));
const topics: { readonly topics: readonly { readonly symbols: readonly string[] }[] } = JSON.parse(
  readFileSync('test/fixtures/inventory/topics.json', 'utf8'),
);

/** Listed from the development branch of PyTorch; the pinned release does not have them yet. */
const notReleased = new Set(['torch.nn.functional.gated_delta_rule']);

suite('every public name has a card', () => {
  const lists = [
    'torch.nn',
    'torch.nn.functional',
    'torch.nn.init',
    'torch.nn.utils',
    'torch.optim',
    'torch.optim.lr_scheduler',
    'torch.utils.data',
    'torch.amp',
    'torchvision.ops',
    'sklearn.metrics',
    'sklearn.estimators',
  ];
  for (const list of lists) {
    test(list, () => {
      const { missing, listed } = coverageOf(`test/fixtures/inventory/symbols/${list}.txt`, cards);
      assert.ok(listed > 10);
      assert.deepEqual(
        missing.filter((name) => !notReleased.has(name)),
        [],
      );
    });
  }

  test('the symbols of the topics', () => {
    const covered = new Set(cards.cards.flatMap((card) => card.symbols));
    assert.deepEqual(
      topics.topics.flatMap((topic) => topic.symbols).filter((symbol) => !covered.has(symbol)),
      [],
    );
  });
});

suite('every card', () => {
  test('fits the hover: lengths of its texts', () => {
    for (const card of cards.cards) {
      const [name] = card.symbols;
      assert.ok(card.what.en.length <= 170, `${name}: ${card.what.en.length} characters in English`);
      assert.ok(card.what['zh-cn'].length <= 90, `${name}: ${card.what['zh-cn'].length} characters in Chinese`);
      assert.ok((card.trap?.en.length ?? 0) <= 230, `${name}: the trap has ${card.trap?.en.length} characters`);
    }
  });

  test('is in both languages', () => {
    for (const card of cards.cards) {
      const texts = [card.name, card.what, card.trap, card.deprecated, ...Object.values(card.arguments ?? {})];
      for (const text of texts.filter((candidate) => candidate !== undefined)) {
        assert.doesNotMatch(text.en.replace(/`[^`]*`/g, ''), /\p{Script=Han}/u, card.symbols[0]);
      }
      assert.match(card.what['zh-cn'], /\p{Script=Han}/u, card.symbols[0]);
    }
  });

  test('uses none of the forbidden translations', () => {
    for (const card of cards.cards) {
      assert.doesNotMatch(JSON.stringify(card), /变压器|嵌套层|对数几率值|图层归一/, card.symbols[0]);
    }
  });
});
