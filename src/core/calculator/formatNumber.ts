/** How many digits a rounded value keeps. */
const significant = 4;

const superscripts = '⁰¹²³⁴⁵⁶⁷⁸⁹';

/** A number as a reader wants it: grouped whole numbers, four significant digits, powers of ten where it is tiny or huge. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) {
    return value > 0 ? '∞' : '−∞';
  }
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e15) {
    return withMinus(value.toLocaleString('en-US'));
  }
  if (size < 1e-4 || size >= 1e9) {
    return powerOfTen(value);
  }
  const digits = Math.max(0, significant - 1 - Math.floor(Math.log10(size)));
  const rounded = value.toLocaleString('en-US', { maximumFractionDigits: Math.min(digits, 7) });
  return withMinus(rounded);
}

function powerOfTen(value: number): string {
  const [mantissa = '', exponent = ''] = value.toExponential(significant - 1).split('e');
  const raised = exponent.replace('+', '').replace('-', '⁻');
  return `${withMinus(mantissa)} × 10${raised.replace(/\d/g, (digit) => superscripts[Number(digit)] ?? '')}`;
}

function withMinus(digits: string): string {
  return digits.replace(/^-/, '−');
}

/** A share as per cent, with one decimal. */
export function formatPercent(share: number): string {
  const percent = Math.round(share * 1000) / 10;
  return percent === 0 && share > 0 ? '< 0.1%' : `${percent}%`;
}

/** A large number in a few characters, for a label in a drawing. */
export function formatShort(value: number): string {
  const units = ['', 'k', 'M', 'G', 'T', 'P'];
  const step = value < 1e4 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(value) / 3));
  return step === 0
    ? formatNumber(value)
    : `${formatNumber(Number((value / 1000 ** step).toPrecision(3)))} ${units[step]}`;
}

/** Bytes with the largest binary unit that leaves a number of at least 1. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  const step = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));
  return `${formatNumber(bytes / 1024 ** step)} ${units[step]}`;
}
