import { type BarPlot, calculator, text } from './calculator';
import { formatShort } from './formatNumber';
import { convolutionCost, linearCost } from './layerCost';
import { outputSize } from './outputSize';

interface StageCost {
  readonly name: string;
  readonly parameters: number;
  readonly macs: number;
}

/** Walks through a network and adds up what each stage costs; keeps channels and side of the picture. */
class Walk {
  readonly stages: { name: string; parameters: number; macs: number }[] = [];
  channels = 3;
  side: number;

  constructor(side: number) {
    this.side = side;
  }

  begin(name: string): void {
    this.stages.push({ name, parameters: 0, macs: 0 });
  }

  add(parameters: number, macs: number): void {
    const stage = this.stages.at(-1);
    if (stage) {
      stage.parameters += parameters;
      stage.macs += macs;
    }
  }

  shrink(kernel: number, stride: number, padding: number): void {
    this.side = outputSize({
      layer: 'convolution',
      size: this.side,
      kernel,
      stride,
      padding,
      dilation: 1,
      outputPadding: 0,
      ceil: false,
    });
  }

  /** A convolution that keeps the size but for its stride; with `norm` it has no bias and a batch normalization follows. */
  convolve(channels: number, kernel: number, stride: number, norm: boolean): void {
    this.shrink(kernel, stride, (kernel - 1) / 2);
    const cost = convolutionCost(this.channels, channels, kernel, 1, !norm, this.side ** 2);
    this.add(cost.weights + cost.biases + (norm ? 2 * channels : 0), cost.macs);
    this.channels = channels;
  }

  connect(input: number, output: number): void {
    const cost = linearCost(input, output, true, 1);
    this.add(cost.weights + cost.biases, cost.macs);
  }
}

/** Simonyan and Zisserman 2015, configuration D; torchvision averages to 7 × 7 before the classifier. */
function vgg16(side: number, classes: number): readonly StageCost[] {
  const walk = new Walk(side);
  for (const [index, [channels, count]] of (
    [
      [64, 2],
      [128, 2],
      [256, 3],
      [512, 3],
      [512, 3],
    ] as const
  ).entries()) {
    walk.begin(`conv${index + 1}`);
    for (let layer = 0; layer < count; layer += 1) {
      walk.convolve(channels, 3, 1, false);
    }
    walk.shrink(2, 2, 0);
  }
  walk.begin('classifier');
  walk.connect(512 * 7 * 7, 4096);
  walk.connect(4096, 4096);
  walk.connect(4096, classes);
  return walk.stages;
}

/** He et al. 2016 as torchvision builds it: a bottleneck strides in its 3 × 3 convolution, shortcuts are projected. */
function resnet(blocks: readonly number[], bottleneck: boolean, side: number, classes: number): readonly StageCost[] {
  const walk = new Walk(side);
  walk.begin('stem');
  walk.convolve(64, 7, 2, true);
  walk.shrink(3, 2, 1);
  for (const [stage, count] of blocks.entries()) {
    walk.begin(`layer${stage + 1}`);
    for (let block = 0; block < count; block += 1) {
      residualBlock(walk, 64 * 2 ** stage, stage > 0 && block === 0 ? 2 : 1, bottleneck);
    }
  }
  walk.begin('classifier');
  walk.connect(walk.channels, classes);
  return walk.stages;
}

function residualBlock(walk: Walk, width: number, stride: number, bottleneck: boolean): void {
  const { channels, side } = walk;
  const output = bottleneck ? 4 * width : width;
  if (stride !== 1 || channels !== output) {
    walk.convolve(output, 1, stride, true);
    walk.channels = channels;
    walk.side = side;
  }
  if (bottleneck) {
    walk.convolve(width, 1, 1, true);
    walk.convolve(width, 3, stride, true);
    walk.convolve(output, 1, 1, true);
  } else {
    walk.convolve(width, 3, stride, true);
    walk.convolve(output, 3, 1, true);
  }
}

const networks = {
  vgg16,
  resnet18: (side: number, classes: number) => resnet([2, 2, 2, 2], false, side, classes),
  resnet34: (side: number, classes: number) => resnet([3, 4, 6, 3], false, side, classes),
  resnet50: (side: number, classes: number) => resnet([3, 4, 6, 3], true, side, classes),
  resnet101: (side: number, classes: number) => resnet([3, 4, 23, 3], true, side, classes),
} as const;

/** Parameters and multiply-accumulates of a picture classifier, stage by stage, for one picture of `side × side`. */
export function networkCost(network: keyof typeof networks, side: number, classes: number): readonly StageCost[] {
  return networks[network](side, classes);
}

const total = (stages: readonly StageCost[], of: 'parameters' | 'macs') =>
  stages.reduce((sum, stage) => sum + stage[of], 0);

function shares(stages: readonly StageCost[], of: 'parameters' | 'macs'): BarPlot {
  const largest = stages.reduce((best, stage) => (stage[of] > best[of] ? stage : best));
  const percent = Math.round((100 * largest[of]) / total(stages, of));
  const [en, chinese] = of === 'parameters' ? ['the parameters', '参数'] : ['the multiply-accumulates', '乘加次数'];
  return {
    kind: 'bars',
    title:
      of === 'parameters'
        ? text('Parameters by stage', '各阶段参数量')
        : text('Multiply-accumulates by stage', '各阶段乘加次数'),
    bars: stages.map((stage) => ({ label: stage.name, value: stage[of], text: formatShort(stage[of]) })),
    max: largest[of],
    finding: text(`${largest.name} holds ${percent}% of ${en}.`, `${largest.name} 占${chinese}的 ${percent}%。`),
  };
}

export const networkCostCalculator = calculator({
  name: 'network-cost',
  title: text('Parameters and multiply-accumulates of a network', '整个网络的参数量与乘加次数'),
  inputs: {
    network: {
      kind: 'choice',
      label: text('Network', '网络'),
      options: [
        { id: 'vgg16', label: text('VGG16', 'VGG16') },
        { id: 'resnet18', label: text('ResNet-18', 'ResNet-18') },
        { id: 'resnet34', label: text('ResNet-34', 'ResNet-34') },
        { id: 'resnet50', label: text('ResNet-50', 'ResNet-50') },
        { id: 'resnet101', label: text('ResNet-101', 'ResNet-101') },
      ],
      initial: 'resnet50',
    },
    side: {
      kind: 'integer',
      label: text('Side of the picture, pixels', '图片边长（像素）'),
      min: 32,
      max: 4096,
      initial: 224,
    },
    classes: { kind: 'integer', label: text('Classes', '类别数'), min: 1, max: 1_000_000, initial: 1000 },
  },
  calculate: ({ network, side, classes }) => {
    const stages = networkCost(network, side, classes);
    return {
      results: [
        { id: 'parameters', label: text('Parameters', '参数量'), value: total(stages, 'parameters') },
        {
          id: 'macs',
          label: text('Multiply-accumulates per picture', '每张图片的乘加次数（MACs）'),
          value: total(stages, 'macs'),
        },
        {
          id: 'float32',
          label: text('Memory of the parameters, float32', '参数内存，float32'),
          value: 4 * total(stages, 'parameters'),
          unit: 'bytes',
        },
      ],
      plots: [shares(stages, 'parameters'), shares(stages, 'macs')],
    };
  },
});
