/** Rewrites a browser's PNG with at most 256 colours, which halves a picture of a window without a visible difference. */
import { crc32, deflateSync, inflateSync } from 'node:zlib';

const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

interface Pixels {
  readonly width: number;
  readonly height: number;
  /** One number 0xRRGGBB a pixel, row by row. */
  readonly colours: Uint32Array;
}

export function smallPng(png: Buffer): Buffer {
  const pixels = decode(png);
  const palette = choosePalette(countColours(pixels.colours));
  return encode(pixels, palette);
}

function decode(png: Buffer): Pixels {
  const chunks = [...chunksOf(png)];
  const header = chunks.find(({ type }) => type === 'IHDR')?.data;
  if (header === undefined || header[8] !== 8 || header[12] !== 0) throw new Error('Not a PNG as browsers write it');
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  const bytesPerPixel = header[9] === 6 ? 4 : 3;
  const data = Buffer.concat(chunks.filter(({ type }) => type === 'IDAT').map((chunk) => chunk.data));
  const bytes = unfilter(inflateSync(data), width * bytesPerPixel, bytesPerPixel);
  const colours = new Uint32Array(width * height).map((_, pixel) => bytes.readUIntBE(pixel * bytesPerPixel, 3));
  return { width, height, colours };
}

function* chunksOf(png: Buffer): Generator<{ readonly type: string; readonly data: Buffer }> {
  for (let at = signature.length; at < png.length; ) {
    const length = png.readUInt32BE(at);
    yield { type: png.toString('latin1', at + 4, at + 8), data: png.subarray(at + 8, at + 8 + length) };
    at += length + 12;
  }
}

/** Undoes the prediction that PNG applies to each row, named by the row's first byte. */
function unfilter(filtered: Buffer, rowBytes: number, bytesPerPixel: number): Buffer {
  const rows = filtered.length / (rowBytes + 1);
  const bytes = Buffer.alloc(rows * rowBytes);
  for (let row = 0; row < rows; row++) {
    const kind = filtered[row * (rowBytes + 1)] ?? 0;
    for (let x = 0; x < rowBytes; x++) {
      const at = row * rowBytes + x;
      const left = x < bytesPerPixel ? 0 : (bytes[at - bytesPerPixel] ?? 0);
      const above = row === 0 ? 0 : (bytes[at - rowBytes] ?? 0);
      const corner = row === 0 || x < bytesPerPixel ? 0 : (bytes[at - rowBytes - bytesPerPixel] ?? 0);
      bytes[at] = (filtered[row * (rowBytes + 1) + 1 + x] ?? 0) + predicted(kind, left, above, corner);
    }
  }
  return bytes;
}

function predicted(kind: number, left: number, above: number, corner: number): number {
  switch (kind) {
    case 1:
      return left;
    case 2:
      return above;
    case 3:
      return (left + above) >> 1;
    case 4:
      return paeth(left, above, corner);
    default:
      return 0;
  }
}

function paeth(left: number, above: number, corner: number): number {
  const [toLeft, toAbove] = [Math.abs(above - corner), Math.abs(left - corner)];
  const toCorner = Math.abs(left + above - 2 * corner);
  if (toLeft <= toAbove && toLeft <= toCorner) return left;
  return toAbove <= toCorner ? above : corner;
}

function countColours(colours: Uint32Array): Map<number, number> {
  const counts = new Map<number, number>();
  for (const colour of colours) counts.set(colour, (counts.get(colour) ?? 0) + 1);
  return counts;
}

/** The commonest colours, then again and again the one that the choice so far serves worst. */
function choosePalette(counts: ReadonlyMap<number, number>): readonly number[] {
  const byCount = [...counts].sort((a, b) => b[1] - a[1]);
  const palette = byCount.slice(0, 128).map(([colour]) => colour);
  const rest = byCount.slice(128).map(([colour, count]) => ({ colour, count, error: nearest(palette, colour).error }));
  while (palette.length < Math.min(256, counts.size)) {
    const worst = rest.reduce((a, b) => (a.error * a.count >= b.error * b.count ? a : b));
    palette.push(worst.colour);
    for (const each of rest) each.error = Math.min(each.error, distance(each.colour, worst.colour));
  }
  return palette;
}

function nearest(palette: readonly number[], colour: number): { readonly index: number; readonly error: number } {
  let [index, error] = [0, Number.POSITIVE_INFINITY];
  for (const [at, candidate] of palette.entries()) {
    const candidateError = distance(candidate, colour);
    if (candidateError < error) [index, error] = [at, candidateError];
  }
  return { index, error };
}

function distance(a: number, b: number): number {
  return ((a >> 16) - (b >> 16)) ** 2 + (((a >> 8) & 255) - ((b >> 8) & 255)) ** 2 + ((a & 255) - (b & 255)) ** 2;
}

function encode({ width, height, colours }: Pixels, palette: readonly number[]): Buffer {
  const indexOf = new Map([...new Set(colours)].map((colour) => [colour, nearest(palette, colour).index]));
  const rows = Buffer.alloc(height * (width + 1));
  for (const [pixel, colour] of colours.entries()) {
    rows[Math.floor(pixel / width) * (width + 1) + 1 + (pixel % width)] = indexOf.get(colour) ?? 0;
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 3, 0, 0, 0], 8);
  const entries = Buffer.from(palette.flatMap((colour) => [colour >> 16, (colour >> 8) & 255, colour & 255]));
  const chunks = [
    chunk('IHDR', header),
    chunk('PLTE', entries),
    chunk('IDAT', deflateSync(rows, { level: 9, memLevel: 9 })),
  ];
  return Buffer.concat([signature, ...chunks, chunk('IEND', Buffer.alloc(0))]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const ends = Buffer.alloc(8);
  ends.writeUInt32BE(data.length, 0);
  ends.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
}
