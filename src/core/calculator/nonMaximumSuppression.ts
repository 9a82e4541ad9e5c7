import { areaOf, intersectionOverUnion } from './boxOverlap';
import { type Box, calculator, refuse, text } from './calculator';
import { formatNumber } from './formatNumber';

export interface ScoredBox {
  readonly box: Box;
  readonly score: number;
}

/** What becomes of a box: kept, or removed by another one that it overlaps too much. */
export interface Verdict {
  readonly index: number;
  readonly removedBy?: { readonly index: number; readonly iou: number };
}

/** Greedy suppression in falling order of score; a box goes where its IoU with a kept one is greater than the threshold (torchvision.ops.nms). */
export function suppress(boxes: readonly ScoredBox[], threshold: number): readonly Verdict[] {
  const order = boxes.map((_, index) => index).sort((a, b) => (boxes[b]?.score ?? 0) - (boxes[a]?.score ?? 0));
  const kept: number[] = [];
  return order.map((index) => {
    const removedBy = kept
      .map((other) => ({ index: other, iou: overlap(boxes[index], boxes[other]) }))
      .find(({ iou }) => iou > threshold);
    if (!removedBy) {
      kept.push(index);
    }
    return removedBy ? { index, removedBy } : { index };
  });
}

function overlap(a: ScoredBox | undefined, b: ScoredBox | undefined): number {
  return a && b ? intersectionOverUnion(a.box, b.box) : 0;
}

const coordinate = (name: string) => ({ label: text(name, name), min: -100_000, max: 100_000, whole: false });

export const nonMaximumSuppressionCalculator = calculator({
  name: 'non-maximum-suppression',
  title: text('Non-maximum suppression', '非极大值抑制'),
  inputs: {
    boxes: {
      kind: 'rows',
      label: text('One box a line: x1, y1, x2, y2, score', '每行一个框：x1, y1, x2, y2, 得分'),
      columns: [
        coordinate('x1'),
        coordinate('y1'),
        coordinate('x2'),
        coordinate('y2'),
        { label: text('score', '得分'), min: -1000, max: 1000, whole: false },
      ],
      maxRows: 40,
      initial: [
        [0, 0, 10, 10, 0.9],
        [1, 1, 11, 11, 0.8],
        [4, 4, 14, 14, 0.7],
        [20, 2, 30, 12, 0.6],
      ],
    },
    threshold: {
      kind: 'number',
      label: text('IoU threshold', 'IoU 阈值'),
      min: 0,
      max: 1,
      step: 0.05,
      initial: 0.5,
      slider: true,
    },
  },
  calculate: ({ boxes: rows, threshold }) => {
    const boxes = rows.map(
      ([left = 0, top = 0, right = 0, bottom = 0, score = 0]): ScoredBox => ({
        box: [left, top, right, bottom],
        score,
      }),
    );
    const flat = boxes.findIndex(({ box }) => !(box[2] > box[0] && box[3] > box[1]) || !(areaOf(box) > 0));
    if (flat >= 0) {
      return refuse(
        'boxes',
        `Row ${flat + 1}: the second corner must lie to the right of and below the first.`,
        `第 ${flat + 1} 行：第二个角必须在第一个角的右下方。`,
      );
    }
    const verdicts = suppress(boxes, threshold);
    const kept = verdicts.filter(({ removedBy }) => !removedBy).map(({ index }) => index + 1);
    return {
      results: [
        { id: 'kept', label: text('Rows kept, best first', '保留的行（得分从高到低）'), value: kept },
        { id: 'count', label: text('Boxes kept', '保留的框数'), value: kept.length },
      ],
      tables: [
        {
          title: text('In falling order of score', '按得分从高到低'),
          columns: [text('Row', '行'), text('Score', '得分'), text('Verdict', '结论')],
          rows: verdicts.map(({ index, removedBy }) => [
            index + 1,
            boxes[index]?.score ?? 0,
            removedBy
              ? text(
                  `removed by row ${removedBy.index + 1}, IoU ${formatNumber(removedBy.iou)}`,
                  `被第 ${removedBy.index + 1} 行抑制，IoU ${formatNumber(removedBy.iou)}`,
                )
              : text('kept', '保留'),
          ]),
        },
      ],
      plots: [
        {
          kind: 'boxes',
          title: text('Kept and removed boxes', '保留与移除的框'),
          boxes: verdicts.map(({ index, removedBy }) => ({
            label: String(index + 1),
            box: boxes[index]?.box ?? [0, 0, 1, 1],
            look: removedBy ? 'removed' : 'kept',
          })),
          lines: [],
          finding: text(
            `${kept.length} of ${boxes.length} boxes are kept.`,
            `${boxes.length} 个框中保留 ${kept.length} 个。`,
          ),
        },
      ],
    };
  },
});
