import type { Localized } from '../library/language';
import { calculator, type Point, refuse, text } from './calculator';
import { formatNumber } from './formatNumber';

export interface ScheduleParts {
  readonly rate: number;
  readonly steps: number;
  readonly every: number;
  readonly factor: number;
  readonly milestones: readonly number[];
  readonly warmup: number;
  readonly start: number;
  readonly lowest: number;
  readonly power: number;
  readonly cycle: number;
  readonly growth: number;
  readonly rising: number;
  readonly divisor: number;
  readonly finalDivisor: number;
}

/** From `from` to `to` along half a cosine, `share` from 0 to 1. */
function cosine(from: number, to: number, share: number): number {
  return to + ((from - to) * (1 + Math.cos(Math.PI * share))) / 2;
}

/** Learning rate in step t, counted from 0, as the scheduler of torch.optim.lr_scheduler named beside it gives it. */
const schedules = {
  /** StepLR */
  step: (t, { rate, every, factor }) => rate * factor ** Math.floor(t / every),
  /** MultiStepLR */
  multistep: (t, { rate, milestones, factor }) =>
    rate * factor ** milestones.filter((milestone) => milestone <= t).length,
  /** ExponentialLR */
  exponential: (t, { rate, factor }) => rate * factor ** t,
  /** CosineAnnealingLR with T_max = steps */
  cosine: (t, { rate, lowest, steps }) => cosine(rate, lowest, t / steps),
  /** SequentialLR of LinearLR (start_factor = start) and CosineAnnealingLR with T_max = the steps after the warm-up */
  warmupCosine: (t, { rate, lowest, steps, warmup, start }) =>
    t < warmup ? rate * (start + ((1 - start) * t) / warmup) : cosine(rate, lowest, (t - warmup) / (steps - warmup)),
  /** CosineAnnealingWarmRestarts */
  restarts: (t, { rate, lowest, cycle, growth }) => {
    const { into, length } = placeInCycle(t, cycle, growth);
    return cosine(rate, lowest, into / length);
  },
  /** OneCycleLR with max_lr = rate, total_steps = steps */
  oneCycle: (t, { rate, steps, rising, divisor, finalDivisor }) => {
    const [first, top, last] = [rate / divisor, rising * steps - 1, steps - 1];
    return t <= top ? cosine(first, rate, t / top) : cosine(rate, first / finalDivisor, (t - top) / (last - top));
  },
  /** PolynomialLR with total_iters = steps */
  polynomial: (t, { rate, steps, power }) => rate * (1 - Math.min(t, steps) / steps) ** power,
} as const satisfies Readonly<Record<string, (t: number, parts: ScheduleParts) => number>>;

export type ScheduleName = keyof typeof schedules;

function placeInCycle(t: number, cycle: number, growth: number): { readonly into: number; readonly length: number } {
  let [into, length] = [t, cycle];
  while (into >= length) {
    into -= length;
    length *= growth;
  }
  return { into, length };
}

export function learningRate(schedule: ScheduleName, t: number, parts: ScheduleParts): number {
  return schedules[schedule](t, parts);
}

const names: Readonly<Record<ScheduleName, Localized>> = {
  step: text('Step (StepLR)', '阶梯（StepLR）'),
  multistep: text('Milestones (MultiStepLR)', '里程碑（MultiStepLR）'),
  exponential: text('Exponential (ExponentialLR)', '指数（ExponentialLR）'),
  cosine: text('Cosine (CosineAnnealingLR)', '余弦（CosineAnnealingLR）'),
  warmupCosine: text('Linear warm-up, then cosine', '线性预热 + 余弦'),
  restarts: text('Cosine with warm restarts', '带热重启的余弦'),
  oneCycle: text('One cycle (OneCycleLR)', '单周期（OneCycleLR）'),
  polynomial: text('Polynomial (PolynomialLR)', '多项式（PolynomialLR）'),
};

function only(...is: readonly ScheduleName[]) {
  return { input: 'schedule', is };
}

export const learningRateScheduleCalculator = calculator({
  name: 'learning-rate-schedule',
  title: text('Learning rate schedules', '学习率调度'),
  inputs: {
    schedule: {
      kind: 'choice',
      label: text('Schedule', '调度方式'),
      options: (Object.keys(names) as readonly ScheduleName[]).map((id) => ({ id, label: names[id] })),
      initial: 'warmupCosine',
    },
    rate: {
      kind: 'number',
      label: text('Learning rate (peak)', '学习率（峰值）'),
      min: 1e-8,
      max: 1000,
      step: 0.01,
      initial: 0.1,
    },
    steps: { kind: 'integer', label: text('Steps in all', '总步数'), min: 2, max: 100_000, initial: 100 },
    every: {
      kind: 'integer',
      label: text('step_size', 'step_size'),
      min: 1,
      max: 100_000,
      initial: 30,
      onlyFor: only('step'),
    },
    milestones: {
      kind: 'list',
      label: text('Milestones', '里程碑'),
      min: 0,
      max: 100_000,
      length: { min: 1, max: 20 },
      initial: [30, 80],
      onlyFor: only('multistep'),
    },
    factor: {
      kind: 'number',
      label: text('Factor gamma', '衰减系数 gamma'),
      min: 0.0001,
      max: 1,
      step: 0.05,
      initial: 0.1,
      onlyFor: only('step', 'multistep', 'exponential'),
    },
    warmup: {
      kind: 'integer',
      label: text('Steps of warm-up', '预热步数'),
      min: 1,
      max: 100_000,
      initial: 10,
      onlyFor: only('warmupCosine'),
    },
    start: {
      kind: 'number',
      label: text('Warm-up starts at this share', '预热起点（占峰值的比例）'),
      min: 0.0001,
      max: 1,
      step: 0.05,
      initial: 0.1,
      onlyFor: only('warmupCosine'),
    },
    cycle: {
      kind: 'integer',
      label: text('First cycle T_0', '首个周期 T_0'),
      min: 1,
      max: 100_000,
      initial: 20,
      onlyFor: only('restarts'),
    },
    growth: {
      kind: 'integer',
      label: text('Growth T_mult', '周期倍增 T_mult'),
      min: 1,
      max: 10,
      initial: 2,
      onlyFor: only('restarts'),
    },
    lowest: {
      kind: 'number',
      label: text('Lowest rate eta_min', '最低学习率 eta_min'),
      min: 0,
      max: 1000,
      step: 0.001,
      initial: 0,
      onlyFor: only('cosine', 'warmupCosine', 'restarts'),
    },
    rising: {
      kind: 'number',
      label: text('Share of rising, pct_start', '上升阶段占比 pct_start'),
      min: 0.05,
      max: 0.95,
      step: 0.05,
      initial: 0.3,
      onlyFor: only('oneCycle'),
    },
    divisor: {
      kind: 'number',
      label: text('div_factor', 'div_factor'),
      min: 1,
      max: 1e6,
      step: 1,
      initial: 25,
      onlyFor: only('oneCycle'),
    },
    finalDivisor: {
      kind: 'number',
      label: text('final_div_factor', 'final_div_factor'),
      min: 1,
      max: 1e9,
      step: 1000,
      initial: 10_000,
      onlyFor: only('oneCycle'),
    },
    power: {
      kind: 'number',
      label: text('Power', '幂次'),
      min: 0.1,
      max: 10,
      step: 0.5,
      initial: 1,
      onlyFor: only('polynomial'),
    },
    at: { kind: 'integer', label: text('Look at step', '查看第几步'), min: 0, max: 99_999, initial: 10 },
  },
  calculate: ({ schedule, at, ...parts }) => {
    const { steps, warmup } = parts;
    if (at >= steps) {
      return refuse('at', `Steps count from 0 to ${steps - 1}.`, `步数从 0 到 ${steps - 1}。`);
    }
    if (schedule === 'warmupCosine' && warmup >= steps) {
      return refuse('warmup', 'The warm-up must end before the last step.', '预热必须在最后一步之前结束。');
    }
    if (schedule === 'oneCycle' && parts.rising * steps - 1 <= 0) {
      return refuse('rising', 'The rise must last longer than one step.', '上升阶段必须长于一步。');
    }
    const rates = Array.from({ length: steps }, (_, t) => learningRate(schedule, t, parts));
    const [highest, last, now] = [Math.max(...rates), rates.at(-1) ?? 0, rates[at] ?? 0];
    const peak = rates.indexOf(highest);
    // A curve of a thousand points looks the same as one of a hundred thousand.
    const every = Math.ceil(steps / 1000);
    const points = rates.map((rate, t): Point => [t, rate]).filter(([t]) => t % every === 0 || t === steps - 1);
    return {
      results: [
        { id: 'now', label: text(`Rate in step ${at}`, `第 ${at} 步的学习率`), value: now },
        {
          id: 'highest',
          label: text('Highest', '最高'),
          value: highest,
          note: text(`in step ${peak}`, `第 ${peak} 步`),
        },
        { id: 'last', label: text('In the last step', '最后一步'), value: last },
      ],
      plots: [
        {
          kind: 'lines',
          title: text('Learning rate over steps', '学习率随步数的变化'),
          x: { label: text('step', '步'), min: 0, max: steps - 1 },
          y: { label: text('learning rate', '学习率'), min: 0, max: highest },
          series: [{ id: 'rate', label: text('learning rate', '学习率'), points }],
          marks: [[at, now]],
          finding: text(
            `The rate is highest, ${formatNumber(highest)}, in step ${peak} and ends at ${formatNumber(last)}.`,
            `学习率在第 ${peak} 步最高，为 ${formatNumber(highest)}，最后为 ${formatNumber(last)}。`,
          ),
        },
      ],
    };
  },
});
