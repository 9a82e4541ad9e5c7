import { calculator, type Table, text } from './calculator';

/** A layer as it looks along one axis: kernel, stride, dilation. */
export type Window = readonly [kernel: number, stride: number, dilation: number];

export interface Field {
  /** Pixels of the input that one output can see. */
  readonly size: number;
  /** Distance in input pixels between neighbouring outputs. */
  readonly jump: number;
}

/** The field after each layer: r += (k − 1)·d·j, then j *= s (Araujo, Norris and Sim 2019). */
export function receptiveFields(layers: readonly Window[]): readonly Field[] {
  const fields: Field[] = [];
  let field: Field = { size: 1, jump: 1 };
  for (const [kernel, stride, dilation] of layers) {
    field = { size: field.size + (kernel - 1) * dilation * field.jump, jump: field.jump * stride };
    fields.push(field);
  }
  return fields;
}

const plain: Window = [3, 1, 1];
const halving: Window = [2, 2, 1];

/** Blocks of convolutions, each followed by pooling that halves. */
function vgg(blocks: readonly number[]): readonly Window[] {
  return blocks.flatMap((count) => [...Array<Window>(count).fill(plain), halving]);
}

/** The longest path of a residual network: stem, then blocks whose first one of a stage strides in the layer named. */
function resnet(blocks: readonly number[], kernels: readonly number[], striding: number): readonly Window[] {
  const stem: readonly Window[] = [
    [7, 2, 1],
    [3, 2, 1],
  ];
  const stages = blocks.flatMap((count, stage) =>
    Array.from({ length: count }, (_, block) =>
      kernels.map((kernel, at): Window => [kernel, stage > 0 && block === 0 && at === striding ? 2 : 1, 1]),
    ).flat(),
  );
  return [...stem, ...stages];
}

export const knownStacks = {
  vgg16: vgg([2, 2, 3, 3, 3]),
  resnet18: resnet([2, 2, 2, 2], [3, 3], 0),
  resnet50: resnet([3, 4, 6, 3], [1, 3, 1], 1),
  resnet50v1: resnet([3, 4, 6, 3], [1, 3, 1], 0),
} as const;

function tableOf(layers: readonly Window[], fields: readonly Field[]): Table {
  return {
    title: text('Layer by layer', '逐层'),
    columns: [
      text('Layer', '层'),
      text('Kernel', '核'),
      text('Stride', '步幅'),
      text('Dilation', '空洞率'),
      text('Field r', '感受野 r'),
      text('Jump j', '间距 j'),
    ],
    rows: layers.map((layer, index) => [index + 1, ...layer, fields[index]?.size ?? 0, fields[index]?.jump ?? 0]),
  };
}

export const receptiveFieldCalculator = calculator({
  name: 'receptive-field',
  title: text('Receptive field', '感受野'),
  inputs: {
    network: {
      kind: 'choice',
      label: text('Layers', '网络'),
      options: [
        { id: 'own', label: text('My own', '自定义') },
        { id: 'vgg16', label: text('VGG16, up to pool5', 'VGG16，至 pool5') },
        { id: 'resnet18', label: text('ResNet-18', 'ResNet-18') },
        { id: 'resnet50', label: text('ResNet-50 v1.5 (torchvision)', 'ResNet-50 v1.5（torchvision）') },
        { id: 'resnet50v1', label: text('ResNet-50 v1 (paper)', 'ResNet-50 v1（论文）') },
      ],
      initial: 'own',
    },
    layers: {
      kind: 'rows',
      label: text('One layer a line: kernel, stride, dilation', '每行一层：核、步幅、空洞率'),
      columns: [
        { label: text('kernel', '核'), min: 1, max: 99, whole: true },
        { label: text('stride', '步幅'), min: 1, max: 64, whole: true, default: 1 },
        { label: text('dilation', '空洞率'), min: 1, max: 512, whole: true, default: 1 },
      ],
      maxRows: 100,
      initial: [[3], [3], [2, 2], [3]],
      onlyFor: { input: 'network', is: ['own'] },
    },
  },
  calculate: ({ network, layers }) => {
    const stack =
      network === 'own'
        ? layers.map(([kernel = 1, stride = 1, dilation = 1]): Window => [kernel, stride, dilation])
        : knownStacks[network];
    const fields = receptiveFields(stack);
    const last = fields.at(-1) ?? { size: 1, jump: 1 };
    return {
      results: [
        { id: 'field', label: text('Receptive field, pixels per axis', '感受野（每轴像素数）'), value: last.size },
        { id: 'jump', label: text('Total stride', '总步幅'), value: last.jump },
      ],
      tables: [tableOf(stack, fields)],
    };
  },
});
