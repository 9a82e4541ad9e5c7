import type { Language } from '../library/language';
import type { SymbolTable } from '../library/symbolTable';
import type { Argument, Expression } from '../python/syntax/expressions';

/** A fact about one call, as data: the words are added in the reader's language. */
export type CallFact =
  | { readonly kind: 'parameters'; readonly count: number }
  /** Side length in → side length out, for a usual image or sequence. */
  | { readonly kind: 'size'; readonly from: number; readonly to: number }
  | { readonly kind: 'headSize'; readonly size: number }
  | { readonly kind: 'indivisible'; readonly dividend: string; readonly divisor: string }
  /** What dropout multiplies kept values by. */
  | { readonly kind: 'keptScale'; readonly scale: number }
  /** Share of a weight that decoupled decay takes in one step. */
  | { readonly kind: 'shrinkage'; readonly share: number }
  /** Share of the learning rate left after some epochs. */
  | { readonly kind: 'rateAfter'; readonly epochs: number; readonly share: number };

/** The side length that output sizes are said for. */
const usualSide = 224;

/** What can be computed from the literal arguments of a call; nothing where one that matters is not a literal. */
export function callFacts(symbol: string, given: readonly Argument[], table: SymbolTable): readonly CallFact[] {
  const call = boundArguments(symbol, given, table);
  const rule = call && Object.entries(rules).find(([pattern]) => new RegExp(`^(?:${pattern})$`).test(symbol));
  return call && rule ? rule[1](call, dimensionsOf(symbol)).filter((fact) => fact !== undefined) : [];
}

/** The arguments of a call by parameter: given literals, else the library's defaults. */
interface BoundCall {
  /** A number, or undefined where it is something else. */
  readonly number: (name: string) => number | undefined;
  readonly flag: (name: string) => boolean | undefined;
  /** One number for each dimension: `3` and `(3, 3)` are the same kernel. */
  readonly perDimension: (name: string, dimensions: number) => readonly number[] | undefined;
}

function boundArguments(symbol: string, given: readonly Argument[], table: SymbolTable): BoundCall | undefined {
  if (given.some((argument) => argument.spread)) {
    return undefined;
  }
  const values = new Map<string, Expression>();
  given.forEach((argument, position) => {
    const name = argument.keyword ?? table.parameterAt(symbol, position)?.name;
    if (name !== undefined) {
      values.set(name, argument.value);
    }
  });
  const number = (name: string): number | undefined => {
    const value = values.get(name);
    if (value === undefined) {
      const standard = table.parameter(symbol, name)?.default;
      return standard === undefined || standard === 'None' ? undefined : finite(Number(standard));
    }
    return value.kind === 'number' ? value.value : undefined;
  };
  const text = (name: string) => {
    const value = values.get(name);
    return value === undefined
      ? table.parameter(symbol, name)?.default
      : value.kind === 'literal'
        ? value.text
        : undefined;
  };
  return {
    number,
    flag: (name) => ({ True: true, False: false })[text(name) ?? ''],
    perDimension: (name, dimensions) => {
      const value = values.get(name);
      const items =
        value?.kind === 'tuple'
          ? value.items.map((item) => (item.kind === 'number' ? item.value : Number.NaN))
          : undefined;
      const one = items ? undefined : number(name);
      const each = items ?? (one === undefined ? undefined : Array<number>(dimensions).fill(one));
      return each?.length === dimensions && each.every(Number.isFinite) ? each : undefined;
    },
  };
}

function finite(value: number): number | undefined {
  return Number.isFinite(value) ? value : undefined;
}

function dimensionsOf(symbol: string): number {
  return Number(/([123])d$/.exec(symbol)?.[1] ?? 2);
}

type Rule = (call: BoundCall, dimensions: number) => readonly (CallFact | undefined)[];

/** By symbol; counts and sizes follow the library, which the tests compare them with. */
const rules: Readonly<Record<string, Rule>> = {
  'torch\\.nn\\.Conv[123]d': (call, dimensions) => [
    convolutionParameters(call, dimensions),
    outputSize(call, dimensions, convolved),
  ],
  'torch\\.nn\\.ConvTranspose[123]d': (call, dimensions) => [
    convolutionParameters(call, dimensions),
    outputSize(call, dimensions, transposed),
  ],
  'torch\\.nn\\.(?:Max|Avg)Pool[123]d': (call, dimensions) => [outputSize(call, dimensions, pooled)],
  'torch\\.nn\\.Linear': (call) => [linearParameters(call)],
  'torch\\.nn\\.Embedding': (call) => [
    parameters(product(call.number('num_embeddings'), call.number('embedding_dim'))),
  ],
  'torch\\.nn\\.LayerNorm': (call) => [normParameters(call, 'normalized_shape', 'elementwise_affine')],
  'torch\\.nn\\.RMSNorm': (call) => [normParameters(call, 'normalized_shape', 'elementwise_affine', 1)],
  'torch\\.nn\\.(?:Sync)?BatchNorm(?:[123]d)?': (call) => [normParameters(call, 'num_features', 'affine')],
  'torch\\.nn\\.InstanceNorm[123]d': (call) => [normParameters(call, 'num_features', 'affine')],
  'torch\\.nn\\.GroupNorm': (call) => [
    normParameters(call, 'num_channels', 'affine'),
    divisibility(call, 'num_channels', 'num_groups'),
  ],
  'torch\\.nn\\.LSTM': (call) => [recurrentParameters(call, 4)],
  'torch\\.nn\\.GRU': (call) => [recurrentParameters(call, 3)],
  'torch\\.nn\\.RNN': (call) => [recurrentParameters(call, 1)],
  'torch\\.nn\\.MultiheadAttention': (call) => attentionFacts(call),
  'torch\\.nn\\.TransformerEncoderLayer': (call) => [encoderLayerParameters(call)],
  'torch\\.nn\\.(?:Alpha|FeatureAlpha)?Dropout[123]?d?': (call) => [keptScale(call.number('p'))],
  'torch\\.optim\\.AdamW': (call) => [shrinkage(product(call.number('lr'), call.number('weight_decay')))],
  'torch\\.optim\\.lr_scheduler\\.StepLR': (call) => [rateAfter(call, 'step_size')],
  'torch\\.optim\\.lr_scheduler\\.ExponentialLR': (call) => [rateAfter(call, undefined)],
};

function parameters(count: number | undefined): CallFact | undefined {
  return count !== undefined && Number.isInteger(count) && count >= 0 ? { kind: 'parameters', count } : undefined;
}

function product(...factors: readonly (number | undefined)[]): number | undefined {
  return factors.reduce<number | undefined>(
    (all, one) => (all === undefined || one === undefined ? undefined : all * one),
    1,
  );
}

function linearParameters(call: BoundCall): CallFact | undefined {
  const [inputs, outputs, bias] = [call.number('in_features'), call.number('out_features'), call.flag('bias')];
  const weights = product(inputs, outputs);
  return weights === undefined || bias === undefined ? undefined : parameters(weights + (bias ? (outputs ?? 0) : 0));
}

function convolutionParameters(call: BoundCall, dimensions: number): CallFact | undefined {
  const [inputs, outputs, groups] = [call.number('in_channels'), call.number('out_channels'), call.number('groups')];
  const kernel = call.perDimension('kernel_size', dimensions);
  const bias = call.flag('bias');
  if (inputs === undefined || outputs === undefined || groups === undefined || !kernel || bias === undefined) {
    return undefined;
  }
  if (inputs % groups !== 0) {
    return { kind: 'indivisible', dividend: 'in_channels', divisor: 'groups' };
  }
  if (outputs % groups !== 0) {
    return { kind: 'indivisible', dividend: 'out_channels', divisor: 'groups' };
  }
  return parameters(((inputs * outputs) / groups) * kernel.reduce((all, one) => all * one, 1) + (bias ? outputs : 0));
}

type SizeRule = (side: number, call: BoundCall, dimensions: number) => number | undefined;

/** Only for kernels that are the same along all axes: one number says it all then. */
function outputSize(call: BoundCall, dimensions: number, rule: SizeRule): CallFact | undefined {
  const to = rule(usualSide, call, dimensions);
  return to !== undefined && to > 0 ? { kind: 'size', from: usualSide, to } : undefined;
}

function same(values: readonly number[] | undefined): number | undefined {
  return values?.every((value) => value === values[0]) ? values[0] : undefined;
}

const convolved: SizeRule = (side, call, dimensions) => {
  const [kernel, stride, padding, dilation] = ['kernel_size', 'stride', 'padding', 'dilation'].map((name) =>
    same(call.perDimension(name, dimensions)),
  );
  return kernel === undefined || stride === undefined || padding === undefined || dilation === undefined
    ? undefined
    : Math.floor((side + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;
};

const transposed: SizeRule = (side, call, dimensions) => {
  const [kernel, stride, padding, extra, dilation] = [
    'kernel_size',
    'stride',
    'padding',
    'output_padding',
    'dilation',
  ].map((name) => same(call.perDimension(name, dimensions)));
  return kernel === undefined ||
    stride === undefined ||
    padding === undefined ||
    extra === undefined ||
    dilation === undefined
    ? undefined
    : (side - 1) * stride - 2 * padding + dilation * (kernel - 1) + extra + 1;
};

/** The stride of pooling is its kernel unless one is given; `ceil_mode` may keep one window more. */
const pooled: SizeRule = (side, call, dimensions) => {
  const kernel = same(call.perDimension('kernel_size', dimensions));
  const stride = same(call.perDimension('stride', dimensions)) ?? kernel;
  const padding = same(call.perDimension('padding', dimensions));
  const dilation = same(call.perDimension('dilation', dimensions)) ?? 1;
  return kernel === undefined || stride === undefined || padding === undefined || call.flag('ceil_mode') !== false
    ? undefined
    : Math.floor((side + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;
};

/** A gain for each value, and a bias where the layer has one. */
function normParameters(call: BoundCall, size: string, affine: string, vectors = 2): CallFact | undefined {
  const isAffine = call.flag(affine);
  if (isAffine === undefined) {
    return undefined;
  }
  const shape =
    call.number(size) ?? product(...(call.perDimension(size, 2) ?? call.perDimension(size, 3) ?? [undefined]));
  const each = vectors === 2 && call.flag('bias') === false ? 1 : vectors;
  return parameters(isAffine ? product(shape, each) : 0);
}

function divisibility(call: BoundCall, dividend: string, divisor: string): CallFact | undefined {
  const [all, parts] = [call.number(dividend), call.number(divisor)];
  return all !== undefined && parts !== undefined && all % parts !== 0
    ? { kind: 'indivisible', dividend, divisor }
    : undefined;
}

function attentionFacts(call: BoundCall): readonly (CallFact | undefined)[] {
  const [width, heads, bias] = [call.number('embed_dim'), call.number('num_heads'), call.flag('bias')];
  const isPlain =
    call.flag('add_bias_kv') === false && call.number('kdim') === undefined && call.number('vdim') === undefined;
  if (width === undefined || heads === undefined || bias === undefined) {
    return [];
  }
  if (width % heads !== 0) {
    return [{ kind: 'indivisible', dividend: 'embed_dim', divisor: 'num_heads' }];
  }
  return [
    isPlain ? parameters(4 * width * width + (bias ? 4 * width : 0)) : undefined,
    { kind: 'headSize', size: width / heads },
  ];
}

function encoderLayerParameters(call: BoundCall): CallFact | undefined {
  const [width, inner] = [call.number('d_model'), call.number('dim_feedforward')];
  return width === undefined || inner === undefined || call.flag('bias') !== true
    ? undefined
    : parameters(4 * width * width + 4 * width + 2 * width * inner + inner + width + 4 * width);
}

/** Each direction of each layer has weights for its input and for its state, and two biases, for every gate. */
function recurrentParameters(call: BoundCall, gates: number): CallFact | undefined {
  const [inputs, hidden, layers] = [call.number('input_size'), call.number('hidden_size'), call.number('num_layers')];
  const [bias, twoWay, projected] = [call.flag('bias'), call.flag('bidirectional'), call.number('proj_size') ?? 0];
  if (
    inputs === undefined ||
    hidden === undefined ||
    layers === undefined ||
    bias === undefined ||
    twoWay === undefined
  ) {
    return undefined;
  }
  const directions = twoWay ? 2 : 1;
  const state = projected > 0 ? projected : hidden;
  let count = 0;
  for (let layer = 0; layer < layers; layer += 1) {
    const width = layer === 0 ? inputs : state * directions;
    count += directions * (gates * hidden * (width + state + (bias ? 2 : 0)) + projected * hidden);
  }
  return parameters(count);
}

function keptScale(p: number | undefined): CallFact | undefined {
  return p !== undefined && p > 0 && p < 1 ? { kind: 'keptScale', scale: 1 / (1 - p) } : undefined;
}

function shrinkage(share: number | undefined): CallFact | undefined {
  return share !== undefined && share > 0 ? { kind: 'shrinkage', share } : undefined;
}

function rateAfter(call: BoundCall, every: string | undefined): CallFact | undefined {
  const gamma = call.number('gamma');
  const epochs = every === undefined ? 10 : call.number(every);
  return gamma === undefined || epochs === undefined
    ? undefined
    : { kind: 'rateAfter', epochs, share: every === undefined ? gamma ** epochs : gamma };
}

const formats = new Map<number, Intl.NumberFormat>();

/** A formatter takes 10 ms to make, the first of a process; so it is made when a number is shown. */
function significant(digits: number, value: number): string {
  const format = formats.get(digits) ?? new Intl.NumberFormat('en-US', { maximumSignificantDigits: digits });
  formats.set(digits, format);
  return format.format(value);
}

const counted = (value: number) => significant(12, value);
const rounded = (value: number) => significant(4, value);

/** A fact in words. */
export function describeFact(fact: CallFact, language: Language): string {
  const isEnglish = language === 'en';
  switch (fact.kind) {
    case 'parameters':
      return isEnglish ? `${counted(fact.count)} parameters` : `${counted(fact.count)} 个参数`;
    case 'size':
      return isEnglish ? `size ${fact.from} → ${fact.to}` : `尺寸 ${fact.from} → ${fact.to}`;
    case 'headSize':
      return isEnglish ? `${fact.size} features a head` : `每个头 ${fact.size} 维`;
    case 'indivisible':
      return isEnglish
        ? `raises an error: \`${fact.dividend}\` is not divisible by \`${fact.divisor}\``
        : `会报错：\`${fact.dividend}\` 不能被 \`${fact.divisor}\` 整除`;
    case 'keptScale':
      return isEnglish
        ? `in training kept values are multiplied by ${rounded(fact.scale)}`
        : `训练时保留的值乘以 ${rounded(fact.scale)}`;
    case 'shrinkage':
      return isEnglish
        ? `each step shrinks a weight by ${rounded(fact.share)} of itself before the update`
        : `每一步更新前，权重先缩小自身的 ${rounded(fact.share)}`;
    case 'rateAfter':
      return isEnglish
        ? `after ${fact.epochs} epochs the learning rate is ${rounded(fact.share)} of the first`
        : `${fact.epochs} 个 epoch 后学习率为最初的 ${rounded(fact.share)} 倍`;
  }
}
