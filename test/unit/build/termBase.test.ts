import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { describeProblem, Problems } from '../../../src/build/problems';
import { checkTerms, readTerms } from '../../../src/build/termBase';

const shipped = readTerms('resources/terms.yaml', new Problems());

function mistakes(text: string): readonly string[] {
  const problems = new Problems();
  checkTerms(shipped, [{ file: 'zh-cn.md', line: 7, text }], problems);
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
      'zh-cn.md:7: 变压器: "transformer" is Transformer in these notes',
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

  test('reports a name that two entries claim', () => {
    const problems = new Problems();
    readTerms('test/fixtures/terms/twice.yaml', problems);
    assert.deepEqual(problems.all.map(describeProblem), [
      'test/fixtures/terms/twice.yaml:2: loss stands in line 1 already',
    ]);
  });
});
