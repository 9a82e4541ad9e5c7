/** Where the official documentation of a symbol stands; the first rule whose prefix fits decides. */
const rules: readonly (readonly [prefix: string, url: (symbol: string) => string])[] = [
  ['torch.nn.init.', (symbol) => `https://docs.pytorch.org/docs/stable/nn.init.html#${symbol}`],
  ['torch.utils.data.', (symbol) => `https://docs.pytorch.org/docs/stable/data.html#${symbol}`],
  ['torch.utils.checkpoint.', (symbol) => `https://docs.pytorch.org/docs/stable/checkpoint.html#${symbol}`],
  ['torch.cuda.amp.', (symbol) => `https://docs.pytorch.org/docs/stable/amp.html#${symbol}`],
  ['torch.amp.', (symbol) => `https://docs.pytorch.org/docs/stable/amp.html#${symbol}`],
  ['torch.autocast', (symbol) => `https://docs.pytorch.org/docs/stable/amp.html#${symbol}`],
  ['torch.distributed.', (symbol) => `https://docs.pytorch.org/docs/stable/distributed.html#${symbol}`],
  ['torch.distributions.', (symbol) => `https://docs.pytorch.org/docs/stable/distributions.html#${symbol}`],
  ['torch.special.', (symbol) => `https://docs.pytorch.org/docs/stable/special.html#${symbol}`],
  ['torch.nn.Module.', (symbol) => `https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#${symbol}`],
  ['torch.', (symbol) => `https://docs.pytorch.org/docs/stable/generated/${symbol}.html`],
  ['torchvision.models.detection.', () => 'https://docs.pytorch.org/vision/stable/models.html'],
  ['torchvision.models.', (symbol) => `https://docs.pytorch.org/vision/stable/models/generated/${symbol}.html`],
  ['torchvision.', (symbol) => `https://docs.pytorch.org/vision/stable/generated/${symbol}.html`],
  ['sklearn.', (symbol) => `https://scikit-learn.org/stable/modules/generated/${symbol}.html`],
  ['numpy.', (symbol) => `https://numpy.org/doc/stable/reference/generated/${symbol}.html`],
  ['scipy.', (symbol) => `https://docs.scipy.org/doc/scipy/reference/generated/${symbol}.html`],
  ['builtins.', (symbol) => `https://docs.python.org/3/library/functions.html#${symbol.split('.')[1] ?? ''}`],
];

const standardLibrary = new Set(
  'abc collections.abc concurrent.futures copy functools gc itertools json multiprocessing operator pickle sys threading weakref'.split(
    ' ',
  ),
);

/** The page of a symbol in its library's own documentation, where we know its address. */
export function docsLink(symbol: string): string | undefined {
  const rule = rules.find(([prefix]) => symbol.startsWith(prefix));
  if (rule) {
    return rule[1](symbol);
  }
  const module = symbol.slice(0, symbol.lastIndexOf('.'));
  return standardLibrary.has(module) ? `https://docs.python.org/3/library/${module}.html#${symbol}` : undefined;
}
