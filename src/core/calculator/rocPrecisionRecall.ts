import { calculator, type Point, refuse, text } from './calculator';
import { formatNumber } from './formatNumber';

/** Counts at one threshold: an example is called positive if its score is at least the threshold. */
export interface Operating {
  readonly threshold: number;
  readonly truePositives: number;
  readonly falsePositives: number;
}

export interface Ranking {
  readonly positives: number;
  readonly negatives: number;
  /** One entry for each distinct score, falling. */
  readonly points: readonly Operating[];
}

/** Counts over falling thresholds; examples with equal scores are taken together, as scikit-learn does. */
export function rank(scores: readonly number[], labels: readonly number[]): Ranking {
  const thresholds = [...new Set(scores)].sort((a, b) => b - a);
  return {
    positives: labels.filter((label) => label === 1).length,
    negatives: labels.filter((label) => label === 0).length,
    points: thresholds.map((threshold) => countsAt(scores, labels, threshold)),
  };
}

function countsAt(scores: readonly number[], labels: readonly number[], threshold: number): Operating {
  const called = labels.filter((_, index) => (scores[index] ?? 0) >= threshold);
  const truePositives = called.filter((label) => label === 1).length;
  return { threshold, truePositives, falsePositives: called.length - truePositives };
}

export function rocPoints({ positives, negatives, points }: Ranking): readonly Point[] {
  return [
    [0, 0],
    ...points.map(
      ({ truePositives, falsePositives }): Point => [falsePositives / negatives, truePositives / positives],
    ),
  ];
}

/** Area under the ROC curve by the trapezoid rule (sklearn.metrics.roc_auc_score). */
export function areaUnderRoc(ranking: Ranking): number {
  return rocPoints(ranking).reduce((sum, [x, y], index, all) => {
    const [before, below] = all[index - 1] ?? [x, y];
    return sum + ((x - before) * (y + below)) / 2;
  }, 0);
}

/** Σ (Rₙ − Rₙ₋₁) Pₙ over falling thresholds, without interpolation (sklearn.metrics.average_precision_score). */
export function averagePrecision({ positives, points }: Ranking): number {
  return points.reduce((sum, { truePositives, falsePositives }, index) => {
    const gained = truePositives - (points[index - 1]?.truePositives ?? 0);
    return sum + ((gained / positives) * truePositives) / (truePositives + falsePositives);
  }, 0);
}

function precisionPoints({ positives, points }: Ranking): readonly Point[] {
  const drawn = points.map(
    ({ truePositives: hits, falsePositives }): Point => [hits / positives, hits / (hits + falsePositives)],
  );
  return [[0, drawn[0]?.[1] ?? 1], ...drawn];
}

export const rocPrecisionRecallCalculator = calculator({
  name: 'roc-precision-recall',
  title: text('ROC and precision–recall curves from scores', '由得分画 ROC 与精确率-召回率曲线'),
  inputs: {
    scores: {
      kind: 'list',
      label: text('Scores', '得分'),
      min: -1_000_000,
      max: 1_000_000,
      length: { min: 2, max: 200 },
      initial: [0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 0.4, 0.3, 0.2, 0.1],
    },
    labels: {
      kind: 'list',
      label: text('True labels, 0 or 1', '真实标签（0 或 1）'),
      min: 0,
      max: 1,
      length: { min: 2, max: 200 },
      initial: [1, 1, 0, 1, 0, 1, 0, 0, 1, 0],
    },
    threshold: {
      kind: 'number',
      label: text('Call positive from this score on', '得分不低于此值判为正类'),
      min: -1_000_000,
      max: 1_000_000,
      step: 0.05,
      initial: 0.5,
    },
  },
  calculate: ({ scores, labels, threshold }) => {
    if (scores.length !== labels.length) {
      return refuse(
        'labels',
        `There are ${scores.length} scores and ${labels.length} labels; each score needs one label.`,
        `有 ${scores.length} 个得分、${labels.length} 个标签；每个得分需要一个标签。`,
      );
    }
    if (!labels.every((label) => label === 0 || label === 1)) {
      return refuse('labels', 'Every label must be 0 or 1.', '每个标签必须是 0 或 1。');
    }
    const ranking = rank(scores, labels);
    if (ranking.positives === 0 || ranking.negatives === 0) {
      return refuse(
        'labels',
        'Both classes must occur, else the curves are not defined.',
        '两个类别都必须出现，否则曲线没有定义。',
      );
    }
    const { positives, negatives } = ranking;
    const { truePositives: hits, falsePositives: alarms } = countsAt(scores, labels, threshold);
    const [auc, average] = [areaUnderRoc(ranking), averagePrecision(ranking)];
    const precision = hits + alarms > 0 ? hits / (hits + alarms) : undefined;
    return {
      results: [
        { id: 'auc', label: text('ROC AUC', 'ROC AUC'), value: auc },
        { id: 'ap', label: text('Average precision', '平均精确率（AP）'), value: average },
        {
          id: 'tpr',
          label: text('Recall (true positive rate)', '召回率（真正例率）'),
          value: hits / positives,
          note: `${hits} / ${positives}`,
        },
        {
          id: 'fpr',
          label: text('False positive rate', '假正例率'),
          value: alarms / negatives,
          note: `${alarms} / ${negatives}`,
        },
        {
          id: 'precision',
          label: text('Precision', '精确率'),
          value: precision,
          note:
            precision === undefined
              ? text('nothing is called positive: 0 ÷ 0', '没有判为正类的样本：0 ÷ 0')
              : `${hits} / ${hits + alarms}`,
        },
      ],
      plots: [
        {
          kind: 'lines',
          title: text('ROC curve', 'ROC 曲线'),
          x: { label: text('false positive rate', '假正例率'), min: 0, max: 1 },
          y: { label: text('true positive rate', '真正例率'), min: 0, max: 1 },
          series: [
            { id: 'roc', label: text('ROC', 'ROC'), points: rocPoints(ranking) },
            {
              id: 'chance',
              label: text('chance', '随机'),
              points: [
                [0, 0],
                [1, 1],
              ],
            },
          ],
          marks: [[alarms / negatives, hits / positives]],
          finding: text(
            `The area under the ROC curve is ${formatNumber(auc)}.`,
            `ROC 曲线下面积为 ${formatNumber(auc)}。`,
          ),
        },
        {
          kind: 'lines',
          title: text('Precision–recall curve', '精确率-召回率曲线'),
          x: { label: text('recall', '召回率'), min: 0, max: 1 },
          y: { label: text('precision', '精确率'), min: 0, max: 1 },
          series: [
            { id: 'pr', label: text('precision', '精确率'), points: precisionPoints(ranking) },
            {
              id: 'base',
              label: text('share of positives', '正例比例'),
              points: [
                [0, positives / labels.length],
                [1, positives / labels.length],
              ],
            },
          ],
          marks: precision === undefined ? [] : [[hits / positives, precision]],
          finding: text(`Average precision is ${formatNumber(average)}.`, `平均精确率为 ${formatNumber(average)}。`),
        },
      ],
    };
  },
});
