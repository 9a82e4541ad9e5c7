import { calculator, text } from './calculator';
import { formatNumber, formatPercent } from './formatNumber';

/** softmax(z / T) over a list of logits; the largest is subtracted first, so that nothing overflows (Hinton et al. 2015). */
export function softmax(logits: readonly number[], temperature: number): readonly number[] {
  const scaled = logits.map((logit) => logit / temperature);
  const largest = Math.max(...scaled);
  const powers = scaled.map((value) => Math.exp(value - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** −Σ p ln p in nats; 0 · ln 0 counts as 0. */
export function entropy(probabilities: readonly number[]): number {
  return probabilities.reduce((sum, p) => (p > 0 ? sum - p * Math.log(p) : sum), 0);
}

export const softmaxTemperatureCalculator = calculator({
  name: 'softmax-temperature',
  title: text('Softmax with temperature', '带温度的 softmax'),
  inputs: {
    logits: {
      kind: 'list',
      label: text('Logits', 'logits'),
      min: -1000,
      max: 1000,
      length: { min: 2, max: 12 },
      initial: [2, 1, 0],
    },
    temperature: {
      kind: 'number',
      label: text('Temperature T', '温度 T'),
      min: 0.05,
      max: 10,
      step: 0.05,
      initial: 1,
      slider: true,
    },
  },
  calculate: ({ logits, temperature }) => {
    const probabilities = softmax(logits, temperature);
    const top = Math.max(...probabilities);
    const place = probabilities.indexOf(top) + 1;
    const uniform = Math.log(logits.length);
    return {
      results: [
        { id: 'probabilities', label: text('Probabilities', '概率'), value: probabilities },
        { id: 'top', label: text('Largest', '最大概率'), value: top },
        {
          id: 'entropy',
          label: text('Entropy, nats', '熵（奈特）'),
          value: entropy(probabilities),
          note: text(`uniform would be ${formatNumber(uniform)}`, `均匀分布为 ${formatNumber(uniform)}`),
        },
      ],
      plots: [
        {
          kind: 'bars',
          title: text('Probability of each class', '各类概率'),
          bars: probabilities.map((value, index) => ({
            label: `z = ${formatNumber(logits[index] ?? 0)}`,
            value,
            text: formatPercent(value),
          })),
          max: 1,
          finding: text(
            `At T = ${formatNumber(temperature)} logit number ${place} gets ${formatPercent(top)}.`,
            `T = ${formatNumber(temperature)} 时，第 ${place} 个 logit 得到 ${formatPercent(top)}。`,
          ),
        },
      ],
    };
  },
});
