import { calculator, refuse, text } from './calculator';

export type LayerKind = 'convolution' | 'pooling' | 'transposed';

export interface WindowLayer {
  readonly layer: LayerKind;
  readonly size: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  readonly dilation: number;
  readonly outputPadding: number;
  readonly ceil: boolean;
}

/**
 * Cells of the output along one axis, as the shape sections of torch.nn.Conv2d, MaxPool2d and ConvTranspose2d give them. With
 * `ceil` a window may start in the input but not in the padding after it.
 */
export function outputSize({
  layer,
  size,
  kernel,
  stride,
  padding,
  dilation,
  outputPadding,
  ceil,
}: WindowLayer): number {
  const span = dilation * (kernel - 1) + 1;
  if (layer === 'transposed') {
    return (size - 1) * stride - 2 * padding + span + outputPadding;
  }
  const room = size + 2 * padding - span;
  const count = Math.floor((room + (ceil ? stride - 1 : 0)) / stride) + 1;
  return ceil && (count - 1) * stride >= size + padding ? count - 1 : count;
}

function working(layer: WindowLayer): string {
  const { size: n, kernel: k, stride: s, padding: p, dilation: d, outputPadding: q } = layer;
  if (layer.layer === 'transposed') {
    return `(${n} − 1)·${s} − 2·${p} + ${d}·(${k} − 1) + ${q} + 1`;
  }
  const [open, close] = layer.ceil ? ['⌈', '⌉'] : ['⌊', '⌋'];
  return `${open}(${n} + 2·${p} − ${d}·(${k} − 1) − 1) / ${s}${close} + 1`;
}

/** Cells at the end of the padded input that no window reads. */
function unreadCells(layer: WindowLayer, output: number): number {
  const read = (output - 1) * layer.stride + layer.dilation * (layer.kernel - 1) + 1;
  return Math.max(0, layer.size + 2 * layer.padding - read);
}

function refusal(layer: WindowLayer, output: number) {
  const span = layer.dilation * (layer.kernel - 1) + 1;
  if (layer.layer === 'pooling' && layer.padding > Math.floor(layer.kernel / 2)) {
    return refuse(
      'padding',
      `Pooling allows padding up to half the kernel size, here ${Math.floor(layer.kernel / 2)}.`,
      `池化的填充至多为核大小的一半，这里是 ${Math.floor(layer.kernel / 2)}。`,
    );
  }
  if (layer.layer === 'transposed' && layer.outputPadding >= Math.max(layer.stride, layer.dilation)) {
    return refuse(
      'outputPadding',
      'Output padding must be smaller than the stride or the dilation.',
      '输出填充必须小于步幅或空洞率。',
    );
  }
  if (output >= 1) {
    return undefined;
  }
  return layer.layer === 'transposed'
    ? refuse('padding', 'So much padding leaves no output.', '填充过大，输出为空。')
    : refuse(
        'kernel',
        `The kernel spans ${span} cells, the padded input has only ${layer.size + 2 * layer.padding}.`,
        `卷积核跨 ${span} 格，而填充后的输入只有 ${layer.size + 2 * layer.padding} 格。`,
      );
}

export const outputSizeCalculator = calculator({
  name: 'output-size',
  title: text('Output size', '输出尺寸'),
  inputs: {
    layer: {
      kind: 'choice',
      label: text('Layer', '层'),
      options: [
        { id: 'convolution', label: text('Convolution', '卷积') },
        { id: 'pooling', label: text('Pooling', '池化') },
        { id: 'transposed', label: text('Transposed convolution', '转置卷积') },
      ],
      initial: 'convolution',
    },
    size: { kind: 'integer', label: text('Input size n', '输入尺寸 n'), min: 1, max: 100_000, initial: 224 },
    kernel: { kind: 'integer', label: text('Kernel size k', '核大小 k'), min: 1, max: 1000, initial: 7 },
    stride: { kind: 'integer', label: text('Stride s', '步幅 s'), min: 1, max: 1000, initial: 2 },
    padding: { kind: 'integer', label: text('Padding p, each side', '每侧填充 p'), min: 0, max: 1000, initial: 3 },
    dilation: { kind: 'integer', label: text('Dilation d', '空洞率 d'), min: 1, max: 1000, initial: 1 },
    outputPadding: {
      kind: 'integer',
      label: text('Output padding q', '输出填充 q'),
      min: 0,
      max: 1000,
      initial: 0,
      onlyFor: { input: 'layer', is: ['transposed'] },
    },
    ceil: {
      kind: 'toggle',
      label: text('Round up (ceil_mode)', '向上取整（ceil_mode）'),
      initial: false,
      onlyFor: { input: 'layer', is: ['pooling'] },
    },
  },
  calculate: (layer) => {
    const output = outputSize(layer);
    const refused = refusal(layer, output);
    if (refused) {
      return refused;
    }
    const size = { id: 'size', label: text('Output size', '输出尺寸'), value: output, note: working(layer) };
    const unread = {
      id: 'unread',
      label: text('Cells at the end never read', '末端未被读取的格数'),
      value: unreadCells(layer, output),
    };
    return { results: layer.layer === 'transposed' ? [size] : [size, unread] };
  },
});
