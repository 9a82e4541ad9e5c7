import type { Language, Localized } from '../library/language';
import type { BarPlot, BoxPlot, LinePlot, Plot, Point } from './calculator';
import { formatNumber } from './formatNumber';

/** Size of a drawing in its own units; the page scales it to its width. */
const canvas = { width: 360, height: 220 };
const margin = { left: 46, right: 12, top: 10, bottom: 36 };
const inner = {
  width: canvas.width - margin.left - margin.right,
  height: canvas.height - margin.top - margin.bottom,
};

/** A plot as SVG text: one picture with a name for screen readers, its colours left to the style sheet. */
export function plotSvg(plot: Plot, language: Language): string {
  switch (plot.kind) {
    case 'lines':
      return lines(plot, language);
    case 'bars':
      return bars(plot, language);
    case 'boxes':
      return boxes(plot, language);
  }
}

function picture(plot: Plot, language: Language, height: number, content: string): string {
  const name = `${plot.title[language]}. ${plot.finding[language]}`;
  return `<svg viewBox="0 0 ${canvas.width} ${height}" role="img" aria-label="${escaped(name)}">${content}</svg>`;
}

function lines(plot: LinePlot, language: Language): string {
  const { x, y } = plot;
  const toX = (value: number) => margin.left + (inner.width * (value - x.min)) / (x.max - x.min || 1);
  const toY = (value: number) => margin.top + inner.height * (1 - (value - y.min) / (y.max - y.min || 1));
  const at = ([px, py]: Point) => `${short(toX(px))},${short(toY(clamp(py, y.min - 1e3, y.max + 1e3)))}`;
  const curves = plot.series.map(
    ({ points }, index) => `<polyline class="series series-${index + 1}" points="${points.map(at).join(' ')}"/>`,
  );
  const marks = plot.marks
    .filter(([, value]) => value >= y.min && value <= y.max)
    .map(([px, py]) => `<circle class="mark" cx="${short(toX(px))}" cy="${short(toY(py))}" r="4"/>`);
  const frame = [
    ...ticks(y.min, y.max).map((value) => horizontal(toY(value), formatNumber(value))),
    ...ticks(x.min, x.max).map((value) => vertical(toX(value), formatNumber(value))),
    axisName(x.label[language], margin.left + inner.width / 2, canvas.height - 4, 'middle'),
  ];
  // Curves may leave the frame: a nested picture cuts them off at its edge.
  const cut = `<svg x="${margin.left}" y="${margin.top}" width="${inner.width}" height="${inner.height}" viewBox="${margin.left} ${margin.top} ${inner.width} ${inner.height}">${curves.join('')}</svg>`;
  return picture(plot, language, canvas.height, [...frame, cut, ...marks].join(''));
}

function horizontal(y: number, label: string): string {
  return `<line class="grid" x1="${margin.left}" x2="${margin.left + inner.width}" y1="${short(y)}" y2="${short(y)}"/><text x="${margin.left - 5}" y="${short(y + 4)}" text-anchor="end">${label}</text>`;
}

function vertical(x: number, label: string): string {
  const bottom = margin.top + inner.height;
  return `<line class="grid" x1="${short(x)}" x2="${short(x)}" y1="${margin.top}" y2="${bottom}"/><text x="${short(x)}" y="${bottom + 14}" text-anchor="middle">${label}</text>`;
}

function axisName(label: string, x: number, y: number, anchor: string): string {
  return `<text class="axis" x="${short(x)}" y="${short(y)}" text-anchor="${anchor}">${escaped(label)}</text>`;
}

/** Four to seven round numbers of a range. */
export function ticks(min: number, max: number): readonly number[] {
  const span = max - min;
  if (!(span > 0)) {
    return [min];
  }
  const power = 10 ** Math.floor(Math.log10(span / 4));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => span / each <= 6) ?? 10 * power;
  const first = Math.ceil(min / step - 1e-9);
  const count = Math.floor((max - first * step) / step + 1e-9) + 1;
  // A multiple of the step, so that 0.1 + 0.2 does not show.
  return Array.from({ length: count }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

const barHeight = 24;
/** Room for the numbers behind the bars. */
const numberRoom = 64;

/** Room for the names before the bars, as wide as the longest; a Chinese character takes about two Latin ones. */
function nameRoom(names: readonly string[]): number {
  const widths = names.map((name) => [...name].reduce((sum, letter) => sum + (letter > '\u2e7f' ? 15 : 8.2), 14));
  return Math.min(190, Math.max(50, ...widths));
}

function bars(plot: BarPlot, language: Language): string {
  const names = plot.bars.map(({ label }) => (typeof label === 'string' ? label : label[language]));
  const start = short(nameRoom(names));
  const room = canvas.width - start - numberRoom;
  const rows = plot.bars.map(({ value, text }, index) => {
    const y = 4 + index * barHeight;
    const length = (room * value) / (plot.max || 1);
    return [
      `<text x="${start - 6}" y="${y + 15}" text-anchor="end">${escaped(names[index] ?? '')}</text>`,
      `<rect class="bar" x="${start}" y="${y + 3}" width="${short(Math.max(length, 0.5))}" height="${barHeight - 8}"/>`,
      `<text x="${short(start + length + 5)}" y="${y + 15}">${escaped(text)}</text>`,
    ].join('');
  });
  return picture(plot, language, rows.length * barHeight + 8, rows.join(''));
}

function boxes(plot: BoxPlot, language: Language): string {
  const left = Math.min(...plot.boxes.map(({ box }) => box[0]));
  const top = Math.min(...plot.boxes.map(({ box }) => box[1]));
  const width = Math.max(...plot.boxes.map(({ box }) => box[2])) - left;
  const height = Math.max(...plot.boxes.map(({ box }) => box[3])) - top;
  const pad = 10;
  const scale = Math.min((canvas.width - 2 * pad) / width, (canvas.height - 2 * pad) / height);
  const shift = (canvas.width - scale * width) / 2;
  const toX = (value: number) => short(shift + scale * (value - left));
  const toY = (value: number) => short(pad + scale * (value - top));
  const tall = short(scale * height + 2 * pad);
  const drawn = plot.boxes.map(
    ({ label, look, box: [x1, y1, x2, y2] }) =>
      `<rect class="box ${look}" x="${toX(x1)}" y="${toY(y1)}" width="${short(scale * (x2 - x1))}" height="${short(scale * (y2 - y1))}"/>${boxName(label, look, toX(x1), toX(x2), toY(y1), toY(y2))}`,
  );
  const joined = plot.lines.map(
    ([[x1, y1], [x2, y2]]) => `<line class="centres" x1="${toX(x1)}" y1="${toY(y1)}" x2="${toX(x2)}" y2="${toY(y2)}"/>`,
  );
  return picture(plot, language, tall, [...drawn, ...joined].join(''));
}

/** The name stands in a corner of its own for each look, so that names of boxes that share corners do not meet. */
function boxName(label: string, look: string, x1: number, x2: number, y1: number, y2: number): string {
  const isLow = look === 'second';
  const isRight = look === 'around' || isLow;
  return `<text x="${isRight ? x2 - 5 : x1 + 5}" y="${isLow ? y2 - 6 : y1 + 14}" text-anchor="${isRight ? 'end' : 'start'}">${escaped(label)}</text>`;
}

/** Names of the curves with the looks they are drawn in. */
export function legendOf(plot: LinePlot): readonly { readonly look: string; readonly label: Localized }[] {
  return plot.series.length < 2 ? [] : plot.series.map(({ label }, index) => ({ look: `series-${index + 1}`, label }));
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

function short(value: number): number {
  return Math.round(value * 10) / 10;
}

export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
