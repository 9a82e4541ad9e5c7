import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import type { Computed } from '../../../src/core/calculator/calculator';
import { calculatorNamed, calculators } from '../../../src/core/calculator/calculators';
import { type RawInputs, readInputs } from '../../../src/core/calculator/readInputs';

type Found = number | null | readonly number[];

/** What the real libraries compute, written by `src/build/python/calculator_facts.py`. */
interface LibraryCase {
  readonly calculator: string;
  readonly inputs: RawInputs;
  readonly results?: Readonly<Record<string, Found>>;
  readonly series?: Readonly<Record<string, readonly number[]>>;
  readonly refused?: true;
}

const cases: readonly LibraryCase[] = JSON.parse(readFileSync('test/fixtures/calculator-facts.json', 'utf8'));

/**
 * The libraries add 1e-7 to denominators of DIoU and CIoU, the smallest rate of a schedule is a difference of nearly equal
 * numbers, and GELU's derivative comes from float32 constants.
 */
const tolerance = { relative: 1e-6, absolute: 1e-7 };

function outcomeOf(name: string, inputs: RawInputs) {
  const calculator = calculatorNamed(name);
  assert.ok(calculator, name);
  for (const id of Object.keys(inputs)) {
    assert.ok(calculator.inputs[id], `${name} has no input ${id}`);
  }
  const { values, problems } = readInputs(calculator.inputs, inputs);
  assert.deepEqual([...problems], []);
  return calculator.calculate(values);
}

function computed(name: string, inputs: RawInputs): Computed {
  const outcome = outcomeOf(name, inputs);
  assert.ok('results' in outcome, JSON.stringify(outcome));
  return outcome;
}

function assertClose(actual: Found | undefined, expected: Found, what: string): void {
  if (Array.isArray(expected)) {
    assert.equal(Array.isArray(actual) ? actual.length : undefined, expected.length, what);
    expected.forEach((value, index) => {
      assertClose((actual as readonly number[])[index], value, `${what}[${index}]`);
    });
  } else if (typeof expected === 'number' && typeof actual === 'number' && Number.isFinite(expected)) {
    const allowed = tolerance.absolute + tolerance.relative * Math.abs(expected);
    assert.ok(Math.abs(actual - expected) <= allowed, `${what}: ${actual} instead of ${expected}`);
  } else {
    assert.equal(actual ?? null, expected, what);
  }
}

function foundIn(outcome: Computed, id: string): Found | undefined {
  const result = outcome.results.find((each) => each.id === id);
  return result === undefined ? undefined : (result.value ?? null);
}

function seriesOf(outcome: Computed, id: string): readonly number[] {
  const lines = outcome.plots?.flatMap((plot) => (plot.kind === 'lines' ? plot.series : [])) ?? [];
  return lines.find((series) => series.id === id)?.points.map(([, y]) => y) ?? [];
}

suite('calculators find what the libraries compute', () => {
  cases.forEach(({ calculator, inputs, results, series }, index) => {
    test(`${calculator} ${index}: ${Object.values(inputs).join(' ').replaceAll('\n', ' / ').slice(0, 80)}`, () => {
      if (!results) {
        assert.ok('refused' in outcomeOf(calculator, inputs));
        return;
      }
      const outcome = computed(calculator, inputs);
      for (const [id, expected] of Object.entries(results)) {
        assertClose(foundIn(outcome, id), expected, id);
      }
      for (const [id, expected] of Object.entries(series ?? {})) {
        assertClose(seriesOf(outcome, id), expected, id);
      }
    });
  });

  test('every calculator is held against a library', () => {
    assert.deepEqual(
      calculators.map(({ name }) => name).filter((name) => !cases.some(({ calculator }) => calculator === name)),
      [],
    );
  });
});

suite('golden values', () => {
  const golden: readonly (readonly [name: string, inputs: RawInputs, result: string, value: Found])[] = [
    ['output-size', { size: '224', kernel: '7', stride: '2', padding: '3' }, 'size', 112],
    ['output-size', { layer: 'transposed', size: '7', kernel: '4', stride: '2', padding: '1' }, 'size', 14],
    ['receptive-field', { network: 'vgg16' }, 'field', 212],
    ['receptive-field', { network: 'vgg16' }, 'jump', 32],
    ['receptive-field', { network: 'resnet50' }, 'field', 427],
    ['receptive-field', { network: 'resnet50v1' }, 'field', 483],
    ['network-cost', { network: 'vgg16' }, 'parameters', 138_357_544],
    ['network-cost', { network: 'resnet18' }, 'parameters', 11_689_512],
    ['network-cost', { network: 'resnet50' }, 'parameters', 25_557_032],
    ['recurrent-parameters', { cell: 'lstm' }, 'parameters', 5920],
    ['recurrent-parameters', { cell: 'lstm', bidirectional: 'true' }, 'parameters', 15_040],
    ['recurrent-parameters', { cell: 'gru' }, 'parameters', 4440],
    ['layer-cost', { layer: 'attention', width: '512', heads: '8' }, 'parameters', 1_050_624],
    [
      'transformer-parameters',
      { architecture: 'both', width: '512', heads: '8', layers: '6', feedForward: '2048' },
      'parameters',
      44_140_544,
    ],
    [
      'transformer-parameters',
      { architecture: 'encoder', vocabulary: '30522', positions: '512' },
      'parameters',
      109_482_240,
    ],
    ['transformer-parameters', { architecture: 'decoder' }, 'parameters', 124_439_808],
    ['transformer-parameters', { architecture: 'vision' }, 'parameters', 86_567_656],
    ['loss-curves', { p: '0.9', gamma: '2' }, 'factor', 0.01],
    ['number-format', { format: 'float16' }, 'max', 65_504],
  ];
  for (const [name, inputs, result, value] of golden) {
    test(`${name} ${Object.values(inputs).join(' ')}: ${result} ${String(value)}`, () => {
      assertClose(foundIn(computed(name, inputs), result), value, result);
    });
  }

  test('rounded ones', () => {
    const rounded = (name: string, inputs: RawInputs, ids: readonly string[], digits: number) =>
      ids.flatMap((id) => foundIn(computed(name, inputs), id)).map((value) => Number(value).toFixed(digits));
    const probabilities = rounded('softmax-temperature', { temperature: '0.5' }, ['probabilities'], 3);
    assert.deepEqual(probabilities, ['0.867', '0.117', '0.016']);
    const overlaps = rounded('box-overlap', {}, ['iou', 'giou', 'diou', 'ciou'], 4);
    assert.deepEqual(overlaps, ['0.1111', '-0.1389', '-0.0189', '-0.0192']);
  });
});
