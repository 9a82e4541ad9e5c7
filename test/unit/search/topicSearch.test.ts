import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { NoteLibrary } from '../../../src/core/library/noteLibrary';
import { createTopicSearch } from '../../../src/core/search/search';
import { generatedLibrary } from '../../bench/search/generatedLibrary';
import { shippedSearch } from '../../search/shippedSearch';
import { searchOver } from './libraryOf';

suite('the ways of finding a topic', () => {
  test('a name stands before what only begins with it', async () => {
    const find = await searchOver({ 'adam variants': {}, adamw: {}, adam: {} });
    assert.deepEqual(find('adam'), ['adam', 'adamw', 'adam variants']);
  });

  test('an abbreviation is an alias, or made of first letters', async () => {
    const find = await searchOver({ other: { aliases: ['abc'] }, 'cross entropy': {}, batch: { aliases: ['BN'] } });
    assert.deepEqual(find('ce'), ['cross entropy']);
    assert.deepEqual(find('bn'), ['batch']);
  });

  test('words in another order, and the forms of an English word', async () => {
    const find = await searchOver({ 'vanishing and exploding gradients': {}, 'gradient descent': {} });
    assert.equal(find('gradient vanish')[0], 'vanishing and exploding gradients');
    assert.equal(find('why do gradients explode')[0], 'vanishing and exploding gradients');
  });

  test('words spread over names of both languages', async () => {
    const find = await searchOver({
      batch: { title: { en: 'Batch normalization', 'zh-cn': '批归一化' } },
      layer: { title: { en: 'Layer normalization', 'zh-cn': '层归一化' } },
    });
    assert.equal(find('layer归一化')[0], 'layer');
    assert.equal(find('为什么要用层归一化')[0], 'layer');
  });

  test('a rare word says more than a common one', async () => {
    const find = await searchOver({
      'focal loss': {},
      'dice loss': {},
      'triplet loss': {},
      segmentation: { words: ['dice'] },
    });
    assert.equal(find('dice loss function')[0], 'dice loss');
  });

  test('symbols in full, from a module on, called, under another library and after F', async () => {
    const find = await searchOver({
      norm: { symbols: ['torch.nn.LayerNorm', 'torch.nn.functional.layer_norm'] },
      linear: { symbols: ['torch.nn.Linear'] },
    });
    for (const query of [
      'torch.nn.LayerNorm',
      'nn.LayerNorm(512)',
      'layernorm',
      'F.layer_norm',
      'keras.layers.LayerNorm',
    ]) {
      assert.deepEqual(find(query).slice(0, 1), ['norm'], query);
    }
  });

  test('pinyin in full, by initials and with a space', async () => {
    const find = await searchOver({ pooling: { pinyin: ['chihua', 'ch'] }, channel: { pinyin: ['tongdao', 'td'] } });
    assert.equal(find('chihua')[0], 'pooling');
    assert.equal(find('td')[0], 'channel');
    assert.equal(find('chi hua')[0], 'pooling');
  });

  test('slips of the fingers, in a word, across words and in Chinese', async () => {
    const find = await searchOver({ 'layer normalization': {}, softmax: {}, dropout: {}, 层归一化: {}, 批归一化: {} });
    assert.equal(find('layernromalization')[0], 'layer normalization');
    assert.equal(find('sotfmax')[0], 'softmax');
    assert.equal(find('层规一化')[0], '层归一化');
  });

  test('headings and references where no name says it', async () => {
    const find = await searchOver({
      one: { headings: ['The loss becomes NaN after a while'] },
      two: { references: ['Understanding dead neurons'] },
    });
    assert.deepEqual(find('loss nan'), ['one']);
    assert.deepEqual(find('dead neurons'), ['two']);
  });

  test('nothing for nothing', async () => {
    const find = await searchOver({ softmax: {} });
    for (const query of ['', '  ', '?', 'qzxwvjk']) {
      assert.deepEqual(find(query), [], query);
    }
  });
});

suite('the search over the shipped topics', () => {
  test('gives each topic at most once', async () => {
    const { search } = await shippedSearch();
    for (const query of ['norm', 'a', '损失', 'transformer', 'the gradient of the loss']) {
      const found = search.find(query, 1000).map((result) => result.topic.id);
      assert.equal(new Set(found).size, found.length);
    }
  });

  test('says what it found a topic by', async () => {
    const { search } = await shippedSearch();
    const [found] = search.find('optim.AdamW');
    assert.equal(found?.reason.shown, 'torch.optim.AdamW');
    assert.equal(found?.isExact, true);
    assert.equal(search.find('adamwe')[0]?.isExact, false);
  });

  test('builds its index in slices, and among thousands of topics still finds the slips', async () => {
    const { index, file } = await shippedSearch();
    const generated = generatedLibrary(index, file, 1500);
    let pauses = 0;
    const search = await createTopicSearch(new NoteLibrary(generated.index), generated.file, async () => {
      pauses += 1;
    });
    assert.ok(pauses > 3, `${pauses} pauses`);
    for (const [query, topic] of [
      ['layer normlization', 'layer-normalization'],
      ['层规一化', 'layer-normalization'],
      ['gradeint descent', 'gradient-descent-sgd'],
    ]) {
      const found = search.find(query ?? '', 5).map((result) => result.topic.id);
      assert.ok(found.includes(topic ?? ''), `${query}: ${found.join(', ')}`);
    }
  });
});
