import type { Localized } from '../library/language';
import { calculator, refuse, text } from './calculator';
import { formatShort } from './formatNumber';

export interface TransformerSize {
  readonly architecture: 'decoder' | 'encoder' | 'vision' | 'both';
  readonly width: number;
  readonly layers: number;
  readonly feedForward: number;
  readonly vocabulary: number;
  readonly positions: number;
  readonly tied: boolean;
  readonly image: number;
  readonly patch: number;
  readonly classes: number;
}

interface Piece {
  readonly name: Localized;
  readonly parameters: number;
}

/** Query, key, value and output projections with biases. */
const attention = (width: number) => 4 * width * width + 4 * width;
/** Two linear layers with biases. */
const feedForward = (width: number, inner: number) => 2 * width * inner + inner + width;
/** Scale and shift. */
const norm = (width: number) => 2 * width;

/**
 * What the parts of a Transformer hold. Decoder: GPT-2 (Radford et al. 2019); encoder: BERT with token types and pooler
 * (Devlin et al. 2019); vision: ViT (Dosovitskiy et al. 2021); both: torch.nn.Transformer, which has no embeddings.
 */
export function transformerPieces(size: TransformerSize): readonly Piece[] {
  const { architecture, width, layers, vocabulary, positions, patch, classes, image } = size;
  const perLayer = architecture === 'both' ? 3 * attention(width) : attention(width);
  const normsPerLayer = architecture === 'both' ? 5 : 2;
  const mlps = architecture === 'both' ? 2 : 1;
  const blocks: readonly Piece[] = [
    { name: text('Attention', '注意力'), parameters: layers * perLayer },
    { name: text('Feed-forward', '前馈网络'), parameters: layers * mlps * feedForward(width, size.feedForward) },
    {
      name: text('Layer norms', '层归一化'),
      parameters: (layers * normsPerLayer + (architecture === 'both' ? 2 : 1)) * norm(width),
    },
  ];
  switch (architecture) {
    case 'both':
      return blocks;
    case 'decoder':
      return [
        { name: text('Token embedding', '词元嵌入'), parameters: vocabulary * width },
        { name: text('Position embedding', '位置嵌入'), parameters: positions * width },
        ...blocks,
        { name: text('Output head', '输出层'), parameters: size.tied ? 0 : vocabulary * width },
      ];
    case 'encoder':
      return [
        { name: text('Token embedding', '词元嵌入'), parameters: vocabulary * width },
        { name: text('Positions, segments', '位置与片段嵌入'), parameters: (positions + 2) * width },
        ...blocks,
        { name: text('Pooler', '池化层'), parameters: width * width + width },
      ];
    case 'vision':
      return [
        { name: text('Patch embedding', '图块嵌入'), parameters: (3 * patch * patch + 1) * width },
        { name: text('Class token, positions', '类别词元与位置'), parameters: ((image / patch) ** 2 + 2) * width },
        ...blocks,
        { name: text('Classifier', '分类层'), parameters: (width + 1) * classes },
      ];
  }
}

const onlyText = { input: 'architecture', is: ['decoder', 'encoder'] };
const onlyVision = { input: 'architecture', is: ['vision'] };

export const transformerParametersCalculator = calculator({
  name: 'transformer-parameters',
  title: text('Parameters of a Transformer', 'Transformer 的参数量'),
  inputs: {
    architecture: {
      kind: 'choice',
      label: text('Architecture', '结构'),
      options: [
        { id: 'decoder', label: text('Decoder (like GPT-2)', '解码器（如 GPT-2）') },
        { id: 'encoder', label: text('Encoder (like BERT)', '编码器（如 BERT）') },
        { id: 'vision', label: text('Vision Transformer', '视觉 Transformer') },
        { id: 'both', label: text('Encoder and decoder (nn.Transformer)', '编码器-解码器（nn.Transformer）') },
      ],
      initial: 'decoder',
    },
    width: { kind: 'integer', label: text('Width d_model', '宽度 d_model'), min: 1, max: 100_000, initial: 768 },
    layers: {
      kind: 'integer',
      label: text('Layers (per stack)', '层数（每个堆叠）'),
      min: 1,
      max: 1000,
      initial: 12,
    },
    heads: { kind: 'integer', label: text('Heads', '头数'), min: 1, max: 1024, initial: 12 },
    feedForward: {
      kind: 'integer',
      label: text('Feed-forward width', '前馈宽度'),
      min: 1,
      max: 1_000_000,
      initial: 3072,
    },
    vocabulary: {
      kind: 'integer',
      label: text('Vocabulary', '词表大小'),
      min: 1,
      max: 10_000_000,
      initial: 50_257,
      onlyFor: onlyText,
    },
    positions: {
      kind: 'integer',
      label: text('Positions', '位置数'),
      min: 1,
      max: 10_000_000,
      initial: 1024,
      onlyFor: onlyText,
    },
    tied: {
      kind: 'toggle',
      label: text('Head shares the token embedding', '输出层与词元嵌入共享'),
      initial: true,
      onlyFor: { input: 'architecture', is: ['decoder'] },
    },
    image: {
      kind: 'integer',
      label: text('Side of the picture', '图片边长'),
      min: 1,
      max: 10_000,
      initial: 224,
      onlyFor: onlyVision,
    },
    patch: {
      kind: 'integer',
      label: text('Side of a patch', '图块边长'),
      min: 1,
      max: 1000,
      initial: 16,
      onlyFor: onlyVision,
    },
    classes: {
      kind: 'integer',
      label: text('Classes', '类别数'),
      min: 1,
      max: 1_000_000,
      initial: 1000,
      onlyFor: onlyVision,
    },
  },
  calculate: (values) => {
    if (values.width % values.heads !== 0) {
      return refuse('heads', 'The number of heads must divide the width.', '头数必须整除宽度。');
    }
    if (values.architecture === 'vision' && values.image % values.patch !== 0) {
      return refuse('patch', 'The side of a patch must divide the side of the picture.', '图块边长必须整除图片边长。');
    }
    const pieces = transformerPieces(values).filter(({ parameters }) => parameters > 0);
    const sum = pieces.reduce((total, piece) => total + piece.parameters, 0);
    const largest = pieces.reduce((best, piece) => (piece.parameters > best.parameters ? piece : best));
    const percent = Math.round((100 * largest.parameters) / sum);
    return {
      results: [
        { id: 'parameters', label: text('Parameters', '参数量'), value: sum },
        {
          id: 'head',
          label: text('Size of a head', '每个头的大小'),
          value: values.width / values.heads,
          note: text('The number of heads changes no parameter.', '头数不改变参数量。'),
        },
        {
          id: 'float16',
          label: text('Memory, float16 or bfloat16', '内存，float16 或 bfloat16'),
          value: 2 * sum,
          unit: 'bytes',
        },
        {
          id: 'training',
          label: text('Training with Adam, float32', '用 Adam 训练，float32'),
          value: 16 * sum,
          unit: 'bytes',
          note: text('weights, gradients, two moments: 16 bytes each', '权重、梯度、两个矩：每个参数 16 字节'),
        },
      ],
      plots: [
        {
          kind: 'bars',
          title: text('Where the parameters are', '参数在哪里'),
          bars: pieces.map(({ name, parameters }) => ({
            label: name,
            value: parameters,
            text: formatShort(parameters),
          })),
          max: largest.parameters,
          finding: text(
            `${largest.name.en} holds ${percent}% of the parameters.`,
            `${largest.name['zh-cn']}占参数的 ${percent}%。`,
          ),
        },
      ],
    };
  },
});
