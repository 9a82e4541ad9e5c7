import type { Calculator } from '../../core/calculator/calculator';
import { outcomeHtml, spokenResults } from '../../core/calculator/outcomeHtml';
import type { Language } from '../../core/library/language';
import { element } from '../elements';
import type { CalculatorInputs } from './calculatorInputs';
import { type Field, fieldFor } from './field';

const words = {
  en: { reset: 'Reset', corrected: 'Correct the marked field to see results.' },
  'zh-cn': { reset: '重置', corrected: '请先改正标出的输入，再看结果。' },
} as const;

/** How long the typing must rest before results are read out, in milliseconds. */
const speakAfter = 900;

/** One calculator on the page, in one language: fields, results, plots. */
export class CalculatorForm {
  readonly element: HTMLElement;
  readonly #calculator: Calculator;
  readonly #inputs: CalculatorInputs;
  readonly #language: Language;
  readonly #fields: ReadonlyMap<string, Field>;
  readonly #results = element('div', { class: 'outcome' });
  readonly #spoken = element('p', { class: 'spoken', role: 'status', 'aria-live': 'polite' });
  #speaking = 0;

  constructor(calculator: Calculator, inputs: CalculatorInputs, language: Language) {
    this.#calculator = calculator;
    this.#inputs = inputs;
    this.#language = language;
    this.#fields = new Map(
      Object.entries(calculator.inputs).map(([id, input]) => [
        id,
        fieldFor(id, input, language, (text) => inputs.set(id, text)),
      ]),
    );
    this.element = this.#form();
    inputs.onChange(() => {
      this.#show();
      this.#speakSoon();
    });
    this.#show();
  }

  #form(): HTMLElement {
    const reset = element('button', { type: 'button', class: 'reset' }, words[this.#language].reset);
    reset.addEventListener('click', () => this.#inputs.reset());
    const title = this.#calculator.title[this.#language];
    const form = element(
      'form',
      { novalidate: true, autocomplete: 'off', 'aria-label': title },
      element('div', { class: 'head' }, element('p', { class: 'calculator-title' }, title), reset),
      element('div', { class: 'fields' }, ...[...this.#fields.values()].map((field) => field.element)),
      this.#results,
      this.#spoken,
    );
    form.addEventListener('submit', (event) => event.preventDefault());
    return form;
  }

  #show(): void {
    const { outcome, problems } = this.#inputs.read();
    for (const [id, field] of this.#fields) {
      field.element.hidden = !this.#inputs.shown(id);
      field.show(this.#inputs.text(id), problems.get(id)?.[this.#language]);
    }
    if (outcome && 'results' in outcome) {
      this.#results.innerHTML = outcomeHtml(outcome, this.#language);
    } else {
      this.#results.replaceChildren(element('p', { class: 'waiting' }, words[this.#language].corrected));
    }
  }

  /** Says the results once the typing rests; only in the form that the reader is in. */
  #speakSoon(): void {
    window.clearTimeout(this.#speaking);
    if (this.element.contains(document.activeElement)) {
      this.#speaking = window.setTimeout(() => {
        const { outcome, problems } = this.#inputs.read();
        const [problem] = problems.values();
        this.#spoken.textContent =
          outcome && 'results' in outcome ? spokenResults(outcome, this.#language) : (problem?.[this.#language] ?? '');
      }, speakAfter);
    }
  }
}
