import type { Language } from '../library/language';
import type { Calculator, Input } from './calculator';
import { calculatorNamed } from './calculators';
import { outcomeHtml, resultText } from './outcomeHtml';
import { escaped } from './plotSvg';
import { initialText, isShown, type RawInputs, readInputs } from './readInputs';

const words = {
  en: { about: 'What it starts with; in VS Code the inputs can be changed.', yes: 'yes', no: 'no' },
  'zh-cn': { about: '这里是初始输入与结果；在 VS Code 里可以修改输入。', yes: '是', no: '否' },
} as const;

/** Puts what every calculator of an article's HTML starts with, and finds, in the place of the calculator. */
export function withStaticCalculators(html: string, language: Language): string {
  return html.replace(
    /<div class="calculator" data-calculator="([\w-]+)"(?: data-preset="([^"]*)")?><\/div>/g,
    (_, name: string, preset = '') => staticCalculator(name, preset, language),
  );
}

function staticCalculator(name: string, preset: string, language: Language): string {
  const calculator = calculatorNamed(name);
  if (!calculator) {
    return '';
  }
  const raw = presetOf(preset);
  const outcome = calculator.calculate(readInputs(calculator.inputs, raw).values);
  const results =
    'results' in outcome ? outcomeHtml(outcome, language) : `<p>${escaped(outcome.refused[language])}</p>`;
  return `<div class="calculator"><div><p class="calculator-title">${escaped(calculator.title[language])}</p>${inputTable(calculator, raw, language)}${results}</div></div>`;
}

/** Reads the attribute that the renderer wrote, in which every mark is a character reference. */
export function presetOf(attribute: string): RawInputs {
  const text = attribute.replace(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code)));
  return text === '' ? {} : (JSON.parse(text) as RawInputs);
}

function inputTable({ inputs }: Calculator, raw: RawInputs, language: Language): string {
  const rows = Object.entries(inputs)
    .filter(([id]) => isShown(inputs, id, raw))
    .map(([id, input]) => {
      const value = inputText(input, raw[id] ?? initialText(input), language);
      return `<tr><th scope="row">${escaped(input.label[language])}</th><td>${escaped(value)}</td></tr>`;
    });
  return `<p class="note">${words[language].about}</p><div class="table"><table>${rows.join('')}</table></div>`;
}

function inputText(input: Input, raw: string, language: Language): string {
  switch (input.kind) {
    case 'choice':
      return input.options.find(({ id }) => id === raw)?.label[language] ?? raw;
    case 'toggle':
      return words[language][raw === 'true' ? 'yes' : 'no'];
    case 'integer':
    case 'number':
      return resultText({ id: '', label: input.label, value: Number(raw) });
    case 'rows':
      return raw.replaceAll('\n', '; ');
    case 'list':
      return raw;
  }
}
