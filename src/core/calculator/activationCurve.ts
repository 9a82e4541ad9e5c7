import { calculator, type Point, type Series, text } from './calculator';
import { errorFunction } from './errorFunction';
import { formatNumber } from './formatNumber';

interface Activation {
  readonly name: string;
  readonly value: (x: number, parameter: number) => number;
  /** As autograd has it; at a kink the side that PyTorch takes. */
  readonly slope: (x: number, parameter: number) => number;
}

const sigmoid = (x: number) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const normalDensity = (x: number) => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
const normalShare = (x: number) => (1 + errorFunction(x / Math.SQRT2)) / 2;
const selu = { alpha: 1.6732632423543772, scale: 1.0507009873554805 };

/** The argument of tanh in the approximation of GELU, and its derivative. */
const inner = (x: number) => Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3);
const innerSlope = (x: number) => Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x * x);

/** Functions of torch.nn.functional with their derivatives; their second argument is negative_slope of leaky ReLU and alpha of ELU. */
export const activations = {
  relu: { name: 'ReLU', value: (x) => Math.max(0, x), slope: (x) => (x > 0 ? 1 : 0) },
  leakyRelu: { name: 'Leaky ReLU', value: (x, a) => (x > 0 ? x : a * x), slope: (x, a) => (x > 0 ? 1 : a) },
  elu: {
    name: 'ELU',
    value: (x, a) => (x > 0 ? x : a * Math.expm1(x)),
    slope: (x, a) => (x > 0 ? 1 : a * Math.exp(x)),
  },
  selu: {
    name: 'SELU',
    value: (x) => selu.scale * (x > 0 ? x : selu.alpha * Math.expm1(x)),
    slope: (x) => selu.scale * (x > 0 ? 1 : selu.alpha * Math.exp(x)),
  },
  gelu: { name: 'GELU', value: (x) => x * normalShare(x), slope: (x) => normalShare(x) + x * normalDensity(x) },
  geluTanh: {
    name: "GELU (approximate='tanh')",
    value: (x) => (x * (1 + Math.tanh(inner(x)))) / 2,
    slope: (x) => (1 + Math.tanh(inner(x))) / 2 + (x * (1 - Math.tanh(inner(x)) ** 2) * innerSlope(x)) / 2,
  },
  silu: { name: 'SiLU (Swish)', value: (x) => x * sigmoid(x), slope: (x) => sigmoid(x) * (1 + x * (1 - sigmoid(x))) },
  mish: {
    name: 'Mish',
    value: (x) => x * Math.tanh(softplus(x)),
    slope: (x) => Math.tanh(softplus(x)) + x * (1 - Math.tanh(softplus(x)) ** 2) * sigmoid(x),
  },
  sigmoid: { name: 'Sigmoid', value: sigmoid, slope: (x) => sigmoid(x) * (1 - sigmoid(x)) },
  tanh: { name: 'Tanh', value: Math.tanh, slope: (x) => 1 - Math.tanh(x) ** 2 },
  softplus: { name: 'Softplus', value: softplus, slope: sigmoid },
  relu6: { name: 'ReLU6', value: (x) => Math.min(6, Math.max(0, x)), slope: (x) => (x > 0 && x < 6 ? 1 : 0) },
  hardswish: {
    name: 'Hardswish',
    value: (x) => (x * Math.min(6, Math.max(0, x + 3))) / 6,
    slope: (x) => (x <= -3 ? 0 : x < 3 ? x / 3 + 0.5 : 1),
  },
  hardsigmoid: {
    name: 'Hardsigmoid',
    value: (x) => Math.min(6, Math.max(0, x + 3)) / 6,
    slope: (x) => (x > -3 && x < 3 ? 1 / 6 : 0),
  },
} as const satisfies Readonly<Record<string, Activation>>;

export type ActivationName = keyof typeof activations;

const ids = Object.keys(activations) as readonly ActivationName[];
const options = ids.map((id) => ({ id, label: text(activations[id].name, activations[id].name) }));
const samples = Array.from({ length: 241 }, (_, index) => -6 + index / 20);

function curve(id: string, en: string, chinese: string, value: (x: number) => number): Series {
  return { id, label: text(en, chinese), points: samples.map((x): Point => [x, value(x)]) };
}

export const activationCurveCalculator = calculator({
  name: 'activation-curve',
  title: text('Activation function and its derivative', '激活函数及其导数'),
  inputs: {
    activation: { kind: 'choice', label: text('Function', '函数'), options, initial: 'gelu' },
    other: {
      kind: 'choice',
      label: text('Compare with', '对比'),
      options: [{ id: 'none', label: text('nothing', '无') }, ...options],
      initial: 'none',
    },
    x: { kind: 'number', label: text('At x', '取 x'), min: -50, max: 50, step: 0.1, initial: -1 },
    slope: {
      kind: 'number',
      label: text('negative_slope of leaky ReLU', 'Leaky ReLU 的 negative_slope'),
      min: 0,
      max: 10,
      step: 0.01,
      initial: 0.01,
      onlyFor: { input: 'activation', is: ['leakyRelu'] },
    },
    alpha: {
      kind: 'number',
      label: text('alpha of ELU', 'ELU 的 alpha'),
      min: 0,
      max: 10,
      step: 0.1,
      initial: 1,
      onlyFor: { input: 'activation', is: ['elu'] },
    },
  },
  calculate: ({ activation, other, x, slope: negative, alpha }) => {
    const parameter = (name: string) => (name === 'elu' ? alpha : negative);
    const { name, value, slope }: Activation = activations[activation];
    const own = parameter(activation);
    const [y, rise] = [value(x, own), slope(x, own)];
    const series = [
      curve('value', name, name, (at) => value(at, own)),
      curve('slope', `derivative of ${name}`, `${name} 的导数`, (at) => slope(at, own)),
    ];
    const compared: Activation | undefined = other === 'none' ? undefined : activations[other];
    if (compared) {
      series.push(curve('other', compared.name, compared.name, (at) => compared.value(at, parameter(other))));
    }
    return {
      results: [
        { id: 'value', label: text('f(x)', 'f(x)'), value: y },
        { id: 'slope', label: text("Derivative f'(x)", "导数 f'(x)"), value: rise },
        ...(compared
          ? [{ id: 'other', label: text(compared.name, compared.name), value: compared.value(x, parameter(other)) }]
          : []),
      ],
      plots: [
        {
          kind: 'lines',
          title: text('Function and derivative', '函数与导数'),
          x: { label: text('x', 'x'), min: -6, max: 6 },
          y: { label: text('y', 'y'), min: -2, max: 4 },
          series,
          marks:
            Math.abs(x) <= 6
              ? [
                  [x, y],
                  [x, rise],
                ]
              : [],
          finding: text(
            `At x = ${formatNumber(x)} ${name} is ${formatNumber(y)} and its derivative ${formatNumber(rise)}.`,
            `x = ${formatNumber(x)} 时 ${name} 为 ${formatNumber(y)}，导数为 ${formatNumber(rise)}。`,
          ),
        },
      ],
    };
  },
});
