import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { NoteLibrary, parseLibraryIndex } from '../../../src/core/library/noteLibrary';
import { createTopicSearch } from '../../../src/core/search/search';

const library = new NoteLibrary(parseLibraryIndex(readFileSync('dist/index.json', 'utf8')));
const search = createTopicSearch(library, JSON.parse(readFileSync('dist/search.json', 'utf8')));
const first = (query: string) => search.find(query)[0]?.topic.id;

suite('topic search finds at the first row', () => {
  const rows: readonly (readonly [query: string, topic: string])[] = [
    ['layer norm', 'layer-normalization'],
    ['LayerNorm', 'layer-normalization'],
    ['layernorm', 'layer-normalization'],
    ['ln', 'layer-normalization'],
    ['bn', 'batch-normalization'],
    ['BatchNorm2d', 'batch-normalization'],
    ['层归一化', 'layer-normalization'],
    ['层归一', 'layer-normalization'],
    ['cengguiyihua', 'layer-normalization'],
    ['cgyh', 'layer-normalization'],
    ['layernrom', 'layer-normalization'],
    ['sotfmax', 'softmax'],
    ['F.cross_entropy', 'cross-entropy-loss'],
    ['cross entropy', 'cross-entropy-loss'],
    ['bce logits', 'binary-cross-entropy'],
    ['BCEWithLogitsLoss', 'binary-cross-entropy'],
    ['torch.optim.AdamW', 'adamw'],
    ['adam', 'adam'],
    ['auc', 'roc-auc'],
    ['roc', 'roc-auc'],
    ['kl', 'kl-f-divergence'],
    ['mha', 'multi-head-attention'],
    ['注意力', 'attention-mechanism'],
    ['感受野', 'receptive-field'],
    ['receptve field', 'receptive-field'],
    ['dropout', 'dropout'],
    ['eval', 'train-eval-mode'],
    ['no_grad', 'no-grad-inference-mode'],
    ['svm', 'support-vector-machine'],
  ];
  for (const [query, topic] of rows) {
    test(query, () => assert.equal(first(query), topic));
  }

  test('nothing for nothing', () => {
    assert.deepEqual(search.find('  '), []);
    assert.deepEqual(search.find('qzxwvjk'), []);
  });

  test('each topic at most once, best first', () => {
    for (const query of ['norm', 'a', '损失', 'transformer']) {
      const found = search.find(query, 1000).map((result) => result.topic.id);
      assert.equal(new Set(found).size, found.length);
    }
  });
});
