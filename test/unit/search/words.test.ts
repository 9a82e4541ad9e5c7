import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { normalized, squeezed } from '../../../src/core/search/normalize';
import { readQuery } from '../../../src/core/search/query';
import { Spelling, slipsBetween } from '../../../src/core/search/spelling';
import { stemOf, wordsOf } from '../../../src/core/search/words';

suite('texts are compared', () => {
  const rows: readonly (readonly [text: string, normal: string])[] = [
    ['Layer-Norm', 'layer norm'],
    ['  ＬａｙｅｒＮｏｒｍ ', 'layernorm'],
    ['Poincaré', 'poincare'],
    ['1×1 卷积', '1x1 卷积'],
    ['1 * 1', '1x1'],
    ['nn.Module（类）', 'nn.module 类'],
    ['clip_grad_norm_', 'clip grad norm'],
  ];
  for (const [text, normal] of rows) {
    test(`${text} as ${normal}`, () => assert.equal(normalized(text), normal));
  }

  test('without spaces and dots, unless nothing is left', () => {
    assert.equal(squeezed('torch.nn layer norm'), 'torchnnlayernorm');
    assert.equal(squeezed('*'), '*');
  });
});

suite('the words of a text', () => {
  const rows: readonly (readonly [text: string, words: readonly string[]])[] = [
    ['layer norm', ['layer', 'norm']],
    ['BatchNorm2d', ['batchnorm2d', 'batch', 'norm']],
    ['层归一化', ['层归', '归一', '一化']],
    ['BN 层', ['bn', '层']],
    ['C++ 与 ==', ['c++', '与', '==']],
    ['torch.optim.AdamW', ['torch', 'optim', 'adamw', 'adam']],
  ];
  for (const [text, words] of rows) {
    test(text, () => assert.deepEqual([...wordsOf(text)].sort(), [...words].sort()));
  }

  test('forms of a word share their beginning', () => {
    assert.equal(stemOf('exploding'), stemOf('explodes'));
    assert.equal(stemOf('normalization'), stemOf('normalized'));
    assert.equal(stemOf('losses'), 'loss');
    assert.equal(stemOf('bias'), 'bias');
  });
});

suite('a query', () => {
  const namesOf = (typed: string, known: readonly string[] = []) =>
    readQuery(typed, (name) => known.includes(name))?.names.map(({ text }) => text);

  test('loses the words that make a question of it', () => {
    assert.deepEqual(namesOf('what is a receptive field'), ['whatisareceptivefield', 'receptivefield']);
    assert.deepEqual(namesOf('什么是感受野'), ['什么是感受野', '感受野']);
    assert.deepEqual(namesOf('梯度爆炸怎么办'), ['梯度爆炸怎么办', '梯度爆炸']);
  });

  test('keeps them where they are part of a name', () => {
    assert.deepEqual(namesOf('特征选择', ['特征选择']), ['特征选择']);
    assert.deepEqual(namesOf('特征选择方法', ['特征选择']), ['特征选择方法']);
  });

  test('keeps them where there is nothing else', () => {
    assert.deepEqual(namesOf('is'), ['is']);
    assert.deepEqual(readQuery('is', () => false)?.terms, [{ text: 'is', isHan: false, weight: 1 }]);
  });

  test('is also looked up by the end of a dotted name', () => {
    assert.deepEqual(namesOf('keras.layers.Dropout(0.5)'), ['keraslayersdropout', 'layersdropout', 'dropout']);
  });

  test('is nothing without a word', () =>
    assert.equal(
      readQuery(' ?! ', () => false),
      undefined,
    ));
});

suite('slips', () => {
  const rows: readonly (readonly [typed: string, word: string, slips: number])[] = [
    ['softmax', 'softmax', 0],
    ['sotfmax', 'softmax', 1],
    ['softmx', 'softmax', 1],
    ['sofftmax', 'softmax', 1],
    ['softmaz', 'softmax', 1],
    ['transfro', 'transformer', 1.5],
  ];
  for (const [typed, word, slips] of rows) {
    test(`${slips} between ${typed} and ${word}`, () => assert.equal(slipsBetween(typed, word), slips));
  }

  test('are counted no further than of interest', () => {
    assert.equal(slipsBetween('softmax', 'dropout', 2), Number.POSITIVE_INFINITY);
  });

  test('lead to the nearest words only', () => {
    const spelling = new Spelling();
    for (const word of ['adam', 'adamw', 'adagrad', 'relu', 'gelu', 'softmax']) {
      spelling.add(word);
    }
    assert.deepEqual(
      spelling.closest('adma').map(({ word }) => word),
      ['adam'],
    );
    assert.deepEqual(
      spelling.closest('sotfmax').map(({ word }) => word),
      ['softmax'],
    );
    assert.deepEqual(spelling.closest('xyzuvw'), []);
  });
});
