import { calculator, type Result, refuse, text } from './calculator';

/** Learnable numbers of a layer, and multiply-accumulates of one example. */
export interface Cost {
  readonly weights: number;
  readonly biases: number;
  readonly macs: number;
}

/** Weight `(out, in / groups, k, k)`, bias `(out)`; every weight is used once per output pixel (torch.nn.Conv2d). */
export function convolutionCost(
  input: number,
  output: number,
  kernel: number,
  groups: number,
  bias: boolean,
  pixels: number,
): Cost {
  const weights = output * (input / groups) * kernel * kernel;
  return { weights, biases: bias ? output : 0, macs: weights * pixels };
}

/** Weight `(out, in)`, bias `(out)`, applied at each position (torch.nn.Linear). */
export function linearCost(input: number, output: number, bias: boolean, positions: number): Cost {
  return { weights: input * output, biases: bias ? output : 0, macs: input * output * positions };
}

/** Four projections of width × width, then scores and weighted sum of tokens × tokens × width each (Vaswani et al. 2017). */
export function attentionCost(width: number, bias: boolean, tokens: number): Cost {
  const weights = 4 * width * width;
  return { weights, biases: bias ? 4 * width : 0, macs: tokens * weights + 2 * tokens * tokens * width };
}

function resultsOf({ weights, biases, macs }: Cost): readonly Result[] {
  const parameters = weights + biases;
  return [
    {
      id: 'parameters',
      label: text('Parameters', '参数量'),
      value: parameters,
      note: text(
        `${weights.toLocaleString('en-US')} weights + ${biases.toLocaleString('en-US')} biases`,
        `权重 ${weights.toLocaleString('en-US')} + 偏置 ${biases.toLocaleString('en-US')}`,
      ),
    },
    { id: 'macs', label: text('Multiply-accumulates per example', '每个样本的乘加次数（MACs）'), value: macs },
    { id: 'flops', label: text('FLOPs (2 per MAC)', 'FLOPs（每次乘加计 2）'), value: 2 * macs },
    {
      id: 'float32',
      label: text('Memory of the parameters, float32', '参数内存，float32'),
      value: 4 * parameters,
      unit: 'bytes',
    },
    {
      id: 'float16',
      label: text('Memory in float16 or bfloat16', '内存，float16 或 bfloat16'),
      value: 2 * parameters,
      unit: 'bytes',
    },
  ];
}

export const layerCostCalculator = calculator({
  name: 'layer-cost',
  title: text('Parameters and multiply-accumulates of a layer', '一层的参数量与乘加次数'),
  inputs: {
    layer: {
      kind: 'choice',
      label: text('Layer', '层'),
      options: [
        { id: 'convolution', label: text('Convolution (2d)', '二维卷积') },
        { id: 'linear', label: text('Linear', '线性层') },
        { id: 'attention', label: text('Multi-head attention', '多头注意力') },
        { id: 'embedding', label: text('Embedding', '嵌入') },
        { id: 'normalization', label: text('Normalization (scale and shift)', '归一化（缩放与平移）') },
      ],
      initial: 'convolution',
    },
    input: {
      kind: 'integer',
      label: text('Input channels or features', '输入通道或特征数'),
      min: 1,
      max: 1_000_000,
      initial: 3,
      onlyFor: { input: 'layer', is: ['convolution', 'linear'] },
    },
    output: {
      kind: 'integer',
      label: text('Output channels or features', '输出通道或特征数'),
      min: 1,
      max: 1_000_000,
      initial: 64,
      onlyFor: { input: 'layer', is: ['convolution', 'linear'] },
    },
    entries: {
      kind: 'integer',
      label: text('Entries (vocabulary)', '条目数（词表）'),
      min: 1,
      max: 10_000_000,
      initial: 30_522,
      onlyFor: { input: 'layer', is: ['embedding'] },
    },
    width: {
      kind: 'integer',
      label: text('Width (d_model)', '宽度（d_model）'),
      min: 1,
      max: 100_000,
      initial: 512,
      onlyFor: { input: 'layer', is: ['attention', 'embedding', 'normalization'] },
    },
    heads: {
      kind: 'integer',
      label: text('Heads', '头数'),
      min: 1,
      max: 1024,
      initial: 8,
      onlyFor: { input: 'layer', is: ['attention'] },
    },
    kernel: {
      kind: 'integer',
      label: text('Kernel size', '核大小'),
      min: 1,
      max: 99,
      initial: 7,
      onlyFor: { input: 'layer', is: ['convolution'] },
    },
    groups: {
      kind: 'integer',
      label: text('Groups', '分组数'),
      min: 1,
      max: 1_000_000,
      initial: 1,
      onlyFor: { input: 'layer', is: ['convolution'] },
    },
    side: {
      kind: 'integer',
      label: text('Side of the output, pixels', '输出边长（像素）'),
      min: 1,
      max: 10_000,
      initial: 112,
      onlyFor: { input: 'layer', is: ['convolution'] },
    },
    tokens: {
      kind: 'integer',
      label: text('Tokens (positions)', '词元数（位置数）'),
      min: 1,
      max: 1_000_000,
      initial: 1,
      onlyFor: { input: 'layer', is: ['linear', 'attention'] },
    },
    bias: {
      kind: 'toggle',
      label: text('With bias', '带偏置'),
      initial: true,
      onlyFor: { input: 'layer', is: ['convolution', 'linear', 'attention'] },
    },
  },
  calculate: ({ layer, input, output, entries, width, heads, kernel, groups, side, tokens, bias }) => {
    switch (layer) {
      case 'convolution':
        return input % groups === 0 && output % groups === 0
          ? { results: resultsOf(convolutionCost(input, output, kernel, groups, bias, side * side)) }
          : refuse('groups', 'Groups must divide both channel counts.', '分组数必须同时整除输入和输出通道数。');
      case 'linear':
        return { results: resultsOf(linearCost(input, output, bias, tokens)) };
      case 'attention':
        return width % heads === 0
          ? { results: resultsOf(attentionCost(width, bias, tokens)) }
          : refuse('heads', 'The number of heads must divide the width.', '头数必须整除宽度。');
      case 'embedding':
        return { results: resultsOf({ weights: entries * width, biases: 0, macs: 0 }) };
      case 'normalization':
        return { results: resultsOf({ weights: width, biases: width, macs: 0 }) };
    }
  },
});
