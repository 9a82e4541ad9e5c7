import type { Language, Localized } from '../library/language';
import type { Computed, Plot, Result, Table } from './calculator';
import { formatBytes, formatNumber } from './formatNumber';
import { escaped, legendOf, plotSvg } from './plotSvg';

/** A result's number as the reader sees it. */
export function resultText({ value, unit }: Result): string {
  if (value === undefined) {
    return '–';
  }
  if (typeof value !== 'number') {
    return value.map(formatNumber).join(', ');
  }
  return unit === 'bytes' ? formatBytes(value) : formatNumber(value);
}

/** The first results as a sentence, for a screen reader. */
export function spokenResults({ results }: Computed, language: Language): string {
  const [separator, end] = language === 'en' ? ['; ', '.'] : ['；', '。'];
  const spoken = results.slice(0, 3).map((result) => `${result.label[language]}: ${resultText(result)}`);
  return `${spoken.join(separator)}${end}`;
}

/** Results, plots and tables as HTML; nothing in it comes from outside but numbers. */
export function outcomeHtml({ results, tables = [], plots = [] }: Computed, language: Language): string {
  return [
    resultList(results, language),
    plots.length > 0 ? `<div class="plots">${plots.map((plot) => plotFigure(plot, language)).join('')}</div>` : '',
    ...tables.map((table) => tableHtml(table, language)),
  ].join('');
}

function resultList(results: readonly Result[], language: Language): string {
  const rows = results.map((result) => {
    const note =
      result.note === undefined ? '' : ` <span class="note">${escaped(localized(result.note, language))}</span>`;
    return `<div><dt>${escaped(result.label[language])}</dt><dd><span class="value" data-result="${result.id}">${escaped(resultText(result))}</span>${note}</dd></div>`;
  });
  return `<dl class="results">${rows.join('')}</dl>`;
}

function plotFigure(plot: Plot, language: Language): string {
  const legend = plot.kind === 'lines' ? legendOf(plot) : [];
  const entries = legend.map(
    ({ look, label }) =>
      `<li><svg viewBox="0 0 24 8" aria-hidden="true"><line class="series ${look}" x1="0" x2="24" y1="4" y2="4"/></svg>${escaped(label[language])}</li>`,
  );
  const named = entries.length > 0 ? `<ul class="legend">${entries.join('')}</ul>` : '';
  return `<div class="plot"><p class="plot-title" aria-hidden="true">${escaped(plot.title[language])}</p>${plotSvg(plot, language)}${named}</div>`;
}

function tableHtml({ title, columns, rows }: Table, language: Language): string {
  const cell = (value: string | number | Localized) =>
    escaped(typeof value === 'number' ? formatNumber(value) : localized(value, language));
  const head = columns.map((column) => `<th scope="col">${escaped(column[language])}</th>`).join('');
  const body = rows.map((row) => `<tr>${row.map((value) => `<td>${cell(value)}</td>`).join('')}</tr>`).join('');
  // Long tables scroll; only an element with the focus scrolls by keys.
  return `<div class="rows" role="region" tabindex="0" aria-label="${escaped(title[language])}"><table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
}

function localized(words: string | Localized, language: Language): string {
  return typeof words === 'string' ? words : words[language];
}
