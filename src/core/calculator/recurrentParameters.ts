import { calculator, refuse, text } from './calculator';

export interface RecurrentLayers {
  readonly cell: 'rnn' | 'lstm' | 'gru';
  readonly input: number;
  readonly hidden: number;
  readonly layers: number;
  readonly bidirectional: boolean;
  readonly bias: boolean;
  /** Size that an LSTM's output is projected to; 0 for none. */
  readonly projection: number;
}

/** Blocks of weights stacked in one matrix: one for a plain cell, three for GRU, four for LSTM. */
const gates = { rnn: 1, lstm: 4, gru: 3 } as const;

/**
 * Parameters of each layer, all directions, as torch.nn.RNN, LSTM and GRU hold them: `weight_ih (gates·h, in)`,
 * `weight_hh (gates·h, h)`, and two biases of `gates·h` each, where textbooks have one.
 */
export function recurrentParameters({
  cell,
  input,
  hidden,
  layers,
  bidirectional,
  bias,
  projection,
}: RecurrentLayers): readonly number[] {
  const directions = bidirectional ? 2 : 1;
  const output = cell === 'lstm' && projection > 0 ? projection : hidden;
  const rows = gates[cell] * hidden;
  const projecting = output === hidden ? 0 : output * hidden;
  return Array.from({ length: layers }, (_, layer) => {
    const columns = layer === 0 ? input : directions * output;
    return directions * (rows * (columns + output) + (bias ? 2 * rows : 0) + projecting);
  });
}

export const recurrentParametersCalculator = calculator({
  name: 'recurrent-parameters',
  title: text('Parameters of RNN, LSTM and GRU', 'RNN、LSTM 与 GRU 的参数量'),
  inputs: {
    cell: {
      kind: 'choice',
      label: text('Cell', '单元'),
      options: [
        { id: 'rnn', label: text('RNN', 'RNN') },
        { id: 'lstm', label: text('LSTM', 'LSTM') },
        { id: 'gru', label: text('GRU', 'GRU') },
      ],
      initial: 'lstm',
    },
    input: { kind: 'integer', label: text('input_size', 'input_size'), min: 1, max: 100_000, initial: 10 },
    hidden: { kind: 'integer', label: text('hidden_size', 'hidden_size'), min: 1, max: 100_000, initial: 20 },
    layers: { kind: 'integer', label: text('num_layers', 'num_layers'), min: 1, max: 64, initial: 2 },
    projection: {
      kind: 'integer',
      label: text('proj_size (0: none)', 'proj_size（0 表示没有）'),
      min: 0,
      max: 100_000,
      initial: 0,
      onlyFor: { input: 'cell', is: ['lstm'] },
    },
    bidirectional: { kind: 'toggle', label: text('Bidirectional', '双向'), initial: false },
    bias: { kind: 'toggle', label: text('With bias', '带偏置'), initial: true },
  },
  calculate: (values) => {
    if (values.projection >= values.hidden) {
      return refuse('projection', 'proj_size must be smaller than hidden_size.', 'proj_size 必须小于 hidden_size。');
    }
    const perLayer = recurrentParameters(values);
    const directions = values.bidirectional ? 2 : 1;
    const output = values.cell === 'lstm' && values.projection > 0 ? values.projection : values.hidden;
    return {
      results: [
        {
          id: 'parameters',
          label: text('Parameters', '参数量'),
          value: perLayer.reduce((sum, count) => sum + count, 0),
        },
        {
          id: 'features',
          label: text('Features of the output per step', '每步输出的特征数'),
          value: directions * output,
          note: text(`output: (L, N, ${directions * output})`, `output：(L, N, ${directions * output})`),
        },
        {
          id: 'states',
          label: text('Final states h_n', '末状态 h_n 的个数'),
          value: directions * values.layers,
          note: text(
            `h_n: (${directions * values.layers}, N, ${output})`,
            `h_n：(${directions * values.layers}, N, ${output})`,
          ),
        },
      ],
      tables: [
        {
          title: text('Parameters by layer', '各层参数量'),
          columns: [text('Layer', '层'), text('Parameters', '参数量')],
          rows: perLayer.map((count, index) => [index, count]),
        },
      ],
    };
  },
});
