import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseCalculatorFence } from '../../../src/core/calculator/calculatorFence';
import { calculatorNamed, calculators } from '../../../src/core/calculator/calculators';
import { formatBytes, formatNumber, formatPercent, formatShort } from '../../../src/core/calculator/formatNumber';
import { initialText, isShown, readInputs } from '../../../src/core/calculator/readInputs';
import type { Localized } from '../../../src/core/library/language';

function problemOf(name: string, id: string, raw: string): Localized | undefined {
  return readInputs(calculatorNamed(name)?.inputs ?? {}, { [id]: raw }).problems.get(id);
}

suite('inputs of a calculator', () => {
  for (const calculator of calculators) {
    test(`${calculator.name}: what the form starts with gives results`, () => {
      const initial = Object.fromEntries(
        Object.entries(calculator.inputs).map(([id, input]) => [id, initialText(input)]),
      );
      const { values, problems } = readInputs(calculator.inputs, initial);
      assert.deepEqual([...problems], []);
      assert.ok('results' in calculator.calculate(values));
    });

    test(`${calculator.name}: every choice gives results or a sentence, and never a number that is none`, () => {
      for (const [id, input] of Object.entries(calculator.inputs)) {
        for (const option of input.kind === 'choice' ? input.options : []) {
          const outcome = calculator.calculate(readInputs(calculator.inputs, { [id]: option.id }).values);
          assert.doesNotMatch(JSON.stringify(outcome), /NaN|Infinity|undefined/, option.id);
        }
      }
    });

    test(`${calculator.name}: labels exist in both languages`, () => {
      const texts = localizedIn([
        calculator.title,
        calculator.inputs,
        calculator.calculate(readInputs(calculator.inputs, {}).values),
      ]);
      assert.ok(texts.length > 4);
      assert.deepEqual(
        texts.filter((text) => text.en.trim() === '' || text['zh-cn'].trim() === '' || /\p{Script=Han}/u.test(text.en)),
        [],
      );
    });
  }

  test('bad text is answered with a sentence in both languages', () => {
    for (const raw of ['', 'abc', '1.5', '0', '-3', '1e9', 'NaN', 'Infinity', '0x10', '７']) {
      assert.equal(problemOf('output-size', 'kernel', raw)?.en, 'Enter a whole number from 1 to 1,000.', raw);
    }
    assert.equal(problemOf('output-size', 'kernel', '')?.['zh-cn'], '请输入 1 到 1,000 之间的整数。');
    assert.match(problemOf('softmax-temperature', 'temperature', '0')?.en ?? '', /from 0\.05 to 10/);
    assert.match(problemOf('softmax-temperature', 'logits', '2, x, 0')?.en ?? '', /2 to 12 numbers/);
    assert.match(problemOf('box-overlap', 'a', '0 0 1')?.en ?? '', /^Enter 4 numbers/);
    assert.match(problemOf('receptive-field', 'layers', '3\n0 1')?.en ?? '', /^Row 2 must hold/);
    assert.match(problemOf('receptive-field', 'layers', ' \n')?.en ?? '', /1 to 100 rows/);
  });

  test('numbers are read as people write them', () => {
    const read = (raw: string) => readInputs(calculatorNamed('box-overlap')?.inputs ?? {}, { a: raw }).values.a;
    for (const raw of ['0 0 2 2', '0, 0, 2, 2', '0，0，2，2', ' 0;0; 2;2 ', '0. .0 2.0 2e0', '−0 +0 2 2']) {
      assert.deepEqual(
        (read(raw) as readonly number[]).map((value) => value + 0),
        [0, 0, 2, 2],
        raw,
      );
    }
  });

  test('an input that is not shown does not count', () => {
    const { inputs = {} } = calculatorNamed('output-size') ?? {};
    assert.equal(isShown(inputs, 'outputPadding', {}), false);
    assert.equal(isShown(inputs, 'outputPadding', { layer: 'transposed' }), true);
    assert.equal(readInputs(inputs, { outputPadding: 'x' }).problems.size, 0);
  });

  test('a choice that is none falls back to the first one', () => {
    assert.equal(
      readInputs(calculatorNamed('output-size')?.inputs ?? {}, { layer: 'none' }).values.layer,
      'convolution',
    );
  });
});

suite('numbers for the reader', () => {
  const shown: readonly (readonly [number, string])[] = [
    [138_357_544, '138,357,544'],
    [0.11111111, '0.1111'],
    [-0.01894, '−0.01894'],
    [1234.5678, '1,235'],
    [0, '0'],
    [0.00001234, '1.234 × 10⁻⁵'],
    [1.5e300, '1.500 × 10³⁰⁰'],
    [Number.POSITIVE_INFINITY, '∞'],
  ];
  for (const [value, text] of shown) {
    test(text, () => assert.equal(formatNumber(value), text));
  }

  test('short ones and per cent', () => {
    assert.deepEqual([9536, 215_808, 14_964_736, 1_464_336_384].map(formatShort), ['9,536', '216 k', '15 M', '1.46 G']);
    assert.deepEqual([0, 0.0001, 0.09003, 1].map(formatPercent), ['0%', '< 0.1%', '9%', '100%']);
  });

  test('bytes', () => {
    assert.equal(formatBytes(1024 ** 3), '1 GiB');
    assert.equal(formatBytes(1000), '1,000 B');
    assert.equal(formatBytes(0), '0 B');
  });
});

suite('a calculator fence', () => {
  test('names the calculator and what its inputs start with', () => {
    const fence = parseCalculatorFence('recurrent-parameters\ncell: gru\nhidden: 64\n');
    assert.deepEqual(fence, { name: 'recurrent-parameters', preset: { cell: 'gru', hidden: '64' }, unread: [] });
    assert.deepEqual(parseCalculatorFence('adam\nwhat is this').unread, [2]);
  });
});

function localizedIn(value: unknown): readonly Localized[] {
  if (typeof value !== 'object' || value === null) {
    return [];
  }
  return 'zh-cn' in value ? [value as Localized] : Object.values(value).flatMap(localizedIn);
}
