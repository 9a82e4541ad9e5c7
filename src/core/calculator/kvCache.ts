import { calculator, type Point, refuse, text } from './calculator';
import { formatBytes } from './formatNumber';

export interface CacheSize {
  readonly layers: number;
  readonly keyHeads: number;
  readonly headSize: number;
  readonly tokens: number;
  readonly batch: number;
  readonly bytes: number;
}

/** Bytes of the keys and values that a decoder keeps: two tensors `(batch, keyHeads, tokens, headSize)` a layer (Pope et al. 2022). */
export function cacheBytes({ layers, keyHeads, headSize, tokens, batch, bytes }: CacheSize): number {
  return 2 * layers * batch * keyHeads * tokens * headSize * bytes;
}

const bytesOf = { float32: 4, float16: 2, float8: 1 } as const;

export const kvCacheCalculator = calculator({
  name: 'kv-cache',
  title: text('Size of the KV cache', 'KV 缓存大小'),
  inputs: {
    layers: { kind: 'integer', label: text('Layers', '层数'), min: 1, max: 1000, initial: 32 },
    heads: { kind: 'integer', label: text('Query heads', '查询头数'), min: 1, max: 1024, initial: 32 },
    keyHeads: { kind: 'integer', label: text('Key and value heads', '键值头数'), min: 1, max: 1024, initial: 8 },
    headSize: { kind: 'integer', label: text('Size of a head', '每个头的大小'), min: 1, max: 4096, initial: 128 },
    tokens: { kind: 'integer', label: text('Tokens kept', '保留的词元数'), min: 1, max: 100_000_000, initial: 8192 },
    batch: { kind: 'integer', label: text('Sequences at once', '同时处理的序列数'), min: 1, max: 100_000, initial: 1 },
    type: {
      kind: 'choice',
      label: text('Number type', '数值类型'),
      options: [
        { id: 'float32', label: text('float32', 'float32') },
        { id: 'float16', label: text('float16, bfloat16', 'float16、bfloat16') },
        { id: 'float8', label: text('8 bits', '8 位') },
      ],
      initial: 'float16',
    },
  },
  calculate: ({ heads, type, ...values }) => {
    if (heads % values.keyHeads !== 0) {
      return refuse('keyHeads', 'The key heads must divide the query heads.', '键值头数必须整除查询头数。');
    }
    const size = { ...values, bytes: bytesOf[type] };
    const all = cacheBytes(size);
    const token = cacheBytes({ ...size, tokens: 1, batch: 1 });
    const shown: readonly Point[] = [
      [0, 0],
      [size.tokens, all / 1024 ** 3],
    ];
    return {
      results: [
        { id: 'cache', label: text('KV cache', 'KV 缓存'), value: all, unit: 'bytes' },
        { id: 'token', label: text('Per token and sequence', '每个序列每个词元'), value: token, unit: 'bytes' },
        {
          id: 'full',
          label: text('If every query head had its own keys', '若每个查询头各有键值'),
          value: cacheBytes({ ...size, keyHeads: heads }),
          unit: 'bytes',
        },
        { id: 'saving', label: text('Saved by sharing, factor', '共享节省的倍数'), value: heads / size.keyHeads },
      ],
      plots: [
        {
          kind: 'lines',
          title: text('Cache in GiB over tokens kept', '缓存（GiB）随词元数的变化'),
          x: { label: text('tokens', '词元数'), min: 0, max: size.tokens },
          y: { label: text('GiB', 'GiB'), min: 0, max: all / 1024 ** 3 },
          series: [{ id: 'cache', label: text('KV cache', 'KV 缓存'), points: shown }],
          marks: [],
          finding: text(
            `The cache grows linearly, to ${formatBytes(all)}.`,
            `缓存线性增长，达到 ${formatBytes(all)}。`,
          ),
        },
      ],
    };
  },
});
