import { calculator, type Series, text } from './calculator';
import { formatNumber } from './formatNumber';

/** −ln p of the true class, in nats. */
export function crossEntropy(p: number): number {
  return -Math.log(p);
}

/** −α (1 − p)^γ ln p of an example whose true class has probability p (Lin et al. 2017). */
export function focalLoss(p: number, gamma: number, alpha: number): number {
  return alpha * (1 - p) ** gamma * crossEntropy(p);
}

/**
 * Cross-entropy against (1 − ε)·one-hot + ε / K, as torch.nn.CrossEntropyLoss(label_smoothing=ε); the other K − 1 classes
 * share 1 − p evenly.
 */
export function smoothedLoss(p: number, epsilon: number, classes: number): number {
  const rest = (1 - p) / (classes - 1);
  return (1 - epsilon + epsilon / classes) * crossEntropy(p) + (epsilon * (classes - 1) * crossEntropy(rest)) / classes;
}

const samples = Array.from({ length: 199 }, (_, index) => (index + 1) / 200);

export const lossCurvesCalculator = calculator({
  name: 'loss-curves',
  title: text('Cross-entropy, focal loss, label smoothing', '交叉熵、Focal loss 与标签平滑'),
  inputs: {
    p: {
      kind: 'number',
      label: text('Probability p of the true class', '真实类别的概率 p'),
      min: 0.01,
      max: 0.99,
      step: 0.01,
      initial: 0.9,
      slider: true,
    },
    gamma: { kind: 'number', label: text('Focusing γ', '聚焦参数 γ'), min: 0, max: 10, step: 0.5, initial: 2 },
    alpha: {
      kind: 'number',
      label: text('Weight α of this class', '该类权重 α'),
      min: 0,
      max: 1,
      step: 0.05,
      initial: 1,
    },
    epsilon: { kind: 'number', label: text('Smoothing ε', '平滑系数 ε'), min: 0, max: 0.9, step: 0.05, initial: 0.1 },
    classes: { kind: 'integer', label: text('Classes K', '类别数 K'), min: 2, max: 100_000, initial: 2 },
  },
  calculate: ({ p, gamma, alpha, epsilon, classes }) => {
    const [plain, focal, smoothed] = [crossEntropy(p), focalLoss(p, gamma, alpha), smoothedLoss(p, epsilon, classes)];
    const best = 1 - epsilon + epsilon / classes;
    const curve = (id: string, en: string, chinese: string, loss: (p: number) => number): Series => ({
      id,
      label: text(en, chinese),
      points: samples.map((x) => [x, loss(x)]),
    });
    return {
      results: [
        { id: 'plain', label: text('Cross-entropy (BCE)', '交叉熵（BCE）'), value: plain },
        { id: 'focal', label: text('Focal loss', 'Focal loss'), value: focal },
        { id: 'factor', label: text('Focal loss ÷ cross-entropy', 'Focal loss ÷ 交叉熵'), value: focal / plain },
        { id: 'smoothed', label: text('With label smoothing', '标签平滑后'), value: smoothed },
        { id: 'best', label: text('Smoothed loss is least at p =', '平滑损失的最小点 p ='), value: best },
      ],
      plots: [
        {
          kind: 'lines',
          title: text('Loss over the probability of the true class', '损失随真实类别概率的变化'),
          x: { label: text('p', 'p'), min: 0, max: 1 },
          y: { label: text('loss', '损失'), min: 0, max: 4 },
          series: [
            curve('plain', 'cross-entropy', '交叉熵', crossEntropy),
            curve('focal', 'focal', 'Focal loss', (x) => focalLoss(x, gamma, alpha)),
            curve('smoothed', 'label smoothing', '标签平滑', (x) => smoothedLoss(x, epsilon, classes)),
          ],
          marks: [
            [p, plain],
            [p, focal],
            [p, smoothed],
          ],
          finding: text(
            `At p = ${formatNumber(p)} cross-entropy is ${formatNumber(plain)}, focal loss ${formatNumber(focal)}, the smoothed loss ${formatNumber(smoothed)}.`,
            `p = ${formatNumber(p)} 时，交叉熵 ${formatNumber(plain)}，Focal loss ${formatNumber(focal)}，平滑损失 ${formatNumber(smoothed)}。`,
          ),
        },
      ],
    };
  },
});
