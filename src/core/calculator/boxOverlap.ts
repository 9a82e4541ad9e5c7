import { type Box, calculator, type Point, refuse, text } from './calculator';
import { formatNumber } from './formatNumber';

export interface Overlap {
  readonly intersection: number;
  readonly union: number;
  readonly iou: number;
  readonly giou: number;
  readonly diou: number;
  readonly ciou: number;
}

export const areaOf = ([left, top, right, bottom]: Box) => (right - left) * (bottom - top);

const centreOf = ([left, top, right, bottom]: Box): Point => [(left + right) / 2, (top + bottom) / 2];

/** The smallest box around both. */
export function enclosing(a: Box, b: Box): Box {
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])];
}

function intersectionOf(a: Box, b: Box): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  return Math.max(0, width) * Math.max(0, height);
}

export function intersectionOverUnion(a: Box, b: Box): number {
  const intersection = intersectionOf(a, b);
  return intersection / (areaOf(a) + areaOf(b) - intersection);
}

/** IoU, GIoU (Rezatofighi et al. 2019), DIoU and CIoU (Zheng et al. 2020) of two boxes with area, in any unit of length. */
export function overlapOf(a: Box, b: Box): Overlap {
  const intersection = intersectionOf(a, b);
  const union = areaOf(a) + areaOf(b) - intersection;
  const around = enclosing(a, b);
  const iou = intersection / union;
  const [[ax, ay], [bx, by]] = [centreOf(a), centreOf(b)];
  const diagonal = (around[2] - around[0]) ** 2 + (around[3] - around[1]) ** 2;
  const diou = iou - ((ax - bx) ** 2 + (ay - by) ** 2) / diagonal;
  const angle = Math.atan((b[2] - b[0]) / (b[3] - b[1])) - Math.atan((a[2] - a[0]) / (a[3] - a[1]));
  const v = (4 / Math.PI ** 2) * angle ** 2;
  const ciou = v === 0 ? diou : diou - v ** 2 / (1 - iou + v);
  return { intersection, union, iou, giou: iou - (areaOf(around) - union) / areaOf(around), diou, ciou };
}

const corners = { kind: 'list', min: -100_000, max: 100_000, length: { min: 4, max: 4 } } as const;

function boxOf([left = 0, top = 0, right = 0, bottom = 0]: readonly number[]): Box {
  return [left, top, right, bottom];
}

function flat(input: string) {
  return refuse(
    input,
    'The second corner must lie to the right of and below the first.',
    '第二个角必须在第一个角的右下方。',
  );
}

export const boxOverlapCalculator = calculator({
  name: 'box-overlap',
  title: text('IoU, GIoU, DIoU and CIoU of two boxes', '两个框的 IoU、GIoU、DIoU 与 CIoU'),
  inputs: {
    a: { ...corners, label: text('Box A: x1, y1, x2, y2', '框 A：x1, y1, x2, y2'), initial: [0, 0, 2, 2] },
    b: { ...corners, label: text('Box B: x1, y1, x2, y2', '框 B：x1, y1, x2, y2'), initial: [1, 1, 3, 4] },
  },
  calculate: (values) => {
    const [a, b] = [boxOf(values.a), boxOf(values.b)];
    const empty = ([left, top, right, bottom]: Box) => right <= left || bottom <= top;
    if (empty(a) || empty(b)) {
      return flat(empty(a) ? 'a' : 'b');
    }
    const { intersection, union, iou, giou, diou, ciou } = overlapOf(a, b);
    const loss = (value: number) => text(`loss ${formatNumber(1 - value)}`, `损失 ${formatNumber(1 - value)}`);
    return {
      results: [
        {
          id: 'iou',
          label: text('IoU', 'IoU'),
          value: iou,
          note: text(
            `${formatNumber(intersection)} shared ÷ ${formatNumber(union)} covered`,
            `交 ${formatNumber(intersection)} ÷ 并 ${formatNumber(union)}`,
          ),
        },
        { id: 'giou', label: text('GIoU', 'GIoU'), value: giou, note: loss(giou) },
        { id: 'diou', label: text('DIoU', 'DIoU'), value: diou, note: loss(diou) },
        { id: 'ciou', label: text('CIoU', 'CIoU'), value: ciou, note: loss(ciou) },
      ],
      plots: [
        {
          kind: 'boxes',
          title: text('The boxes and the smallest box around them', '两个框及其最小外接框'),
          boxes: [
            { label: 'C', box: enclosing(a, b), look: 'around' },
            { label: 'A', box: a, look: 'first' },
            { label: 'B', box: b, look: 'second' },
          ],
          lines: [[centreOf(a), centreOf(b)]],
          finding:
            intersection > 0
              ? text(
                  `The boxes share ${formatNumber(iou * 100)}% of what they cover.`,
                  `两框的交占并的 ${formatNumber(iou * 100)}%。`,
                )
              : text('The boxes do not overlap.', '两框不相交。'),
        },
      ],
    };
  },
});
