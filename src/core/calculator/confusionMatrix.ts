import { calculator, type Result, refuse, text } from './calculator';

export interface Confusion {
  readonly tp: number;
  readonly fp: number;
  readonly fn: number;
  readonly tn: number;
}

/** A quotient, or nothing where it would be 0 ÷ 0. */
function ratio(part: number, whole: number): number | undefined {
  return whole === 0 ? undefined : part / whole;
}

/** (1 + β²) TP / ((1 + β²) TP + β² FN + FP): recall counts β times as much as precision (van Rijsbergen 1979). */
export function fBeta({ tp, fp, fn }: Confusion, beta: number): number | undefined {
  const square = beta * beta;
  return ratio((1 + square) * tp, (1 + square) * tp + square * fn + fp);
}

/** Matthews' correlation of truth and prediction, −1 to 1 (Matthews 1975). */
export function matthews({ tp, fp, fn, tn }: Confusion): number | undefined {
  const product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn);
  return ratio(tp * tn - fp * fn, Math.sqrt(product));
}

/** Agreement beyond chance (Cohen 1960). */
export function kappa({ tp, fp, fn, tn }: Confusion): number | undefined {
  return ratio(2 * (tp * tn - fn * fp), (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn));
}

const undefinedNote = text(
  'not defined: 0 ÷ 0 (scikit-learn warns and gives 0)',
  '没有定义：0 ÷ 0（scikit-learn 给出警告并返回 0）',
);

function measure(id: string, en: string, chinese: string, value: number | undefined): Result {
  const known = { id, label: text(en, chinese), value };
  return value === undefined ? { ...known, note: undefinedNote } : known;
}

function balanced(recall: number | undefined, specificity: number | undefined): number | undefined {
  return recall === undefined || specificity === undefined ? undefined : (recall + specificity) / 2;
}

const count = { kind: 'integer', min: 0, max: 10_000_000 } as const;

export const confusionMatrixCalculator = calculator({
  name: 'confusion-matrix',
  title: text('Metrics of a confusion matrix', '混淆矩阵的各项指标'),
  inputs: {
    tp: { ...count, label: text('True positives', '真正例 TP'), initial: 40 },
    fp: { ...count, label: text('False positives', '假正例 FP'), initial: 10 },
    fn: { ...count, label: text('False negatives', '假负例 FN'), initial: 20 },
    tn: { ...count, label: text('True negatives', '真负例 TN'), initial: 930 },
    beta: { kind: 'number', label: text('β of F-beta', 'Fβ 的 β'), min: 0.1, max: 10, step: 0.5, initial: 1 },
  },
  calculate: ({ beta, ...counts }) => {
    const { tp, fp, fn, tn } = counts;
    const all = tp + fp + fn + tn;
    if (all === 0) {
      return refuse('tp', 'Enter at least one example.', '请至少输入一个样本。');
    }
    const [recall, specificity] = [ratio(tp, tp + fn), ratio(tn, tn + fp)];
    return {
      results: [
        measure('precision', 'Precision', '精确率', ratio(tp, tp + fp)),
        measure('recall', 'Recall', '召回率', recall),
        measure('specificity', 'Specificity', '特异度', specificity),
        measure('fbeta', 'F-beta', 'Fβ', fBeta(counts, beta)),
        measure('accuracy', 'Accuracy', '准确率', (tp + tn) / all),
        measure('balanced', 'Balanced accuracy', '平衡准确率', balanced(recall, specificity)),
        measure('jaccard', 'Jaccard index (IoU)', 'Jaccard 指数（IoU）', ratio(tp, tp + fp + fn)),
        measure('matthews', 'Matthews correlation (MCC)', '马修斯相关系数（MCC）', matthews(counts)),
        measure('kappa', "Cohen's kappa", 'Cohen κ 系数', kappa(counts)),
      ],
    };
  },
});
