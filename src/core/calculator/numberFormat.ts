import { calculator, text } from './calculator';
import { formatNumber } from './formatNumber';

/** IEEE 754 style: how many bits the exponent and the stored fraction have. */
export interface NumberFormat {
  readonly exponent: number;
  readonly fraction: number;
}

export const numberFormats = {
  float32: { exponent: 8, fraction: 23 },
  float16: { exponent: 5, fraction: 10 },
  bfloat16: { exponent: 8, fraction: 7 },
} as const satisfies Readonly<Record<string, NumberFormat>>;

const bias = ({ exponent }: NumberFormat) => 2 ** (exponent - 1) - 1;

export const largest = (format: NumberFormat) => (2 - 2 ** -format.fraction) * 2 ** bias(format);
export const smallestNormal = (format: NumberFormat) => 2 ** (1 - bias(format));
export const smallestSubnormal = (format: NumberFormat) => smallestNormal(format) * 2 ** -format.fraction;
/** Distance from 1 to the next number. */
export const epsilon = (format: NumberFormat) => 2 ** -format.fraction;

/** The nearest number of the format, ties to even; beyond the largest one infinity. */
export function roundTo(format: NumberFormat, value: number): number {
  const size = Math.abs(value);
  if (size === 0) {
    return value;
  }
  const exponent = Math.max(Math.floor(Math.log2(size)), 1 - bias(format));
  // log2 may be off by one next to a power of two.
  const corrected =
    2 ** exponent > size && exponent > 1 - bias(format)
      ? exponent - 1
      : 2 ** (exponent + 1) <= size
        ? exponent + 1
        : exponent;
  const unit = 2 ** (corrected - format.fraction);
  const rounded = halfToEven(size / unit) * unit;
  return Math.sign(value) * (rounded > largest(format) ? Number.POSITIVE_INFINITY : rounded);
}

function halfToEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
}

export const numberFormatCalculator = calculator({
  name: 'number-format',
  title: text('What a number becomes in float16 and bfloat16', '一个数在 float16 与 bfloat16 中的样子'),
  inputs: {
    format: {
      kind: 'choice',
      label: text('Format', '格式'),
      options: [
        { id: 'float16', label: text('float16', 'float16') },
        { id: 'bfloat16', label: text('bfloat16', 'bfloat16') },
        { id: 'float32', label: text('float32', 'float32') },
      ],
      initial: 'float16',
    },
    value: { kind: 'number', label: text('Number', '数'), min: -1e38, max: 1e38, step: 1, initial: 0.1 },
  },
  calculate: ({ format: name, value }) => {
    const format = numberFormats[name];
    const stored = roundTo(format, value);
    const error = value === 0 || !Number.isFinite(stored) ? undefined : Math.abs(stored - value) / Math.abs(value);
    return {
      results: [
        {
          id: 'stored',
          label: text('Stored as', '存储为'),
          value: stored,
          note: Number.isFinite(stored) ? String(stored).replace('-', '−') : text('overflow', '上溢'),
        },
        ...(error === undefined ? [] : [{ id: 'error', label: text('Relative error', '相对误差'), value: error }]),
        { id: 'max', label: text('Largest number', '最大值'), value: largest(format) },
        { id: 'tiny', label: text('Smallest normal number', '最小正规数'), value: smallestNormal(format) },
        {
          id: 'subnormal',
          label: text('Smallest number above 0', '大于 0 的最小数'),
          value: smallestSubnormal(format),
        },
        {
          id: 'epsilon',
          label: text('Distance from 1 to the next number', '1 与下一个数的距离'),
          value: epsilon(format),
          note: text(
            `about ${formatNumber(Math.log10(2) * (format.fraction + 1))} decimal digits`,
            `约 ${formatNumber(Math.log10(2) * (format.fraction + 1))} 位十进制有效数字`,
          ),
        },
      ],
    };
  },
});
