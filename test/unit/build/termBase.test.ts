import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { describeProblem, Problems } from '../../../src/build/problems';
import type { Notes } from '../../../src/build/readNotes';
import { checkFirstUses, checkTerms, readTerms } from '../../../src/build/termBase';

const shipped = readTerms('resources/terms.yaml', new Problems());

function mistakes(text: string): readonly string[] {
  const problems = new Problems();
  checkTerms(shipped, [{ file: 'zh-cn.md', line: 7, text }], problems);
  return problems.all.map(describeProblem);
}

/** What is reported on a Chinese article with these aliases. */
function unexplained(article: string, aliases: readonly string[] = []): readonly string[] {
  const problems = new Problems();
  const source = { file: 'topic.yaml', lineOf: () => 1, value: { title: { 'zh-cn': '标题' }, aliases } };
  const articles = new Map([['zh-cn', article]]);
  checkFirstUses(
    shipped,
    { categories: [], topics: [{ folder: 'notes/adam', source, articles }] } as unknown as Notes,
    problems,
  );
  return problems.all.map(describeProblem);
}

suite('the term base', () => {
  test('is sound and holds at least 300 pairs', () => {
    const problems = new Problems();
    const terms = readTerms('resources/terms.yaml', problems);
    assert.deepEqual(problems.all, []);
    assert.ok(terms.length >= 300, `${terms.length} pairs`);
  });

  test('names a translation that is never used, with the right one', () => {
    assert.deepEqual(mistakes('变压器由编码器和解码器组成'), [
      'zh-cn.md:7: 变压器: "Transformer" is Transformer in these notes',
    ]);
    assert.match(mistakes('先做图层归一化').join('\n'), /图层归一化: "layer normalization" is 层归一化/);
  });

  test('names an English term behind another Chinese word', () => {
    assert.deepEqual(mistakes('先算各类的准确度（recall），再平均'), [
      'zh-cn.md:7: 先算各类的准确度（recall）: the term base has 召回率',
    ]);
    assert.deepEqual(mistakes('先算各类的召回率（recall，TPR），再平均'), []);
    assert.deepEqual(mistakes('遗忘门 f（forget gate）'), []);
  });

  test('tells names with capitals apart and leaves abbreviations and words it does not know', () => {
    assert.deepEqual(mistakes('平均精度均值（mAP）、少数优化器（SGD）、某个词（some unknown words）'), []);
  });

  test('names a term whose English stands nowhere in the article, with its line', () => {
    assert.deepEqual(unexplained('## 一句话\n\n输出是特征图。\n'), [
      'notes/adam/zh-cn.md:3: 特征图 needs its English at first use（feature map）',
    ]);
    assert.deepEqual(unexplained('输出是特征图（feature map）。\n\n每张特征图的通道。'), []);
    assert.deepEqual(unexplained('输出是特征图。', ['feature map']), []);
  });

  test('leaves everyday words, headings, pieces of compounds and of longer terms', () => {
    assert.deepEqual(unexplained('梯度与损失'), []);
    assert.deepEqual(unexplained('### 特征图\n\n![特征图](figure-a.svg)'), []);
    assert.deepEqual(unexplained('最近邻与掩码语言模型（masked language model）'), []);
  });

  test('reports a name that two entries claim', () => {
    const problems = new Problems();
    readTerms('test/fixtures/terms/twice.yaml', problems);
    assert.deepEqual(problems.all.map(describeProblem), [
      'test/fixtures/terms/twice.yaml:2: loss stands in line 1 already',
    ]);
  });
});
