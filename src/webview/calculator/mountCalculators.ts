/** The calculators of the article page: a chunk of its own, loaded with the first article that has one. */
import { calculatorNamed } from '../../core/calculator/calculators';
import type { RawInputs } from '../../core/calculator/readInputs';
import type { Language } from '../../core/library/language';
import { CalculatorForm } from './calculatorForm';
import { CalculatorInputs } from './calculatorInputs';

/** A placeholder of an article, and the language of the text around it. */
export interface CalculatorPlace {
  readonly element: HTMLElement;
  readonly name: string;
  readonly preset: RawInputs;
  readonly language: Language;
}

export type InputsChanged = (calculator: string, inputs: RawInputs) => void;

/** The text of media/calculator.css; the build puts it here, for the page may load no file of styles. */
declare const calculatorStyles: string;

let styled = false;

function addStyles(): void {
  if (!styled) {
    styled = true;
    const style = document.createElement('style');
    style.textContent = calculatorStyles;
    document.head.append(style);
  }
}

/** Fills the placeholders; the same calculator in two languages shares its inputs. */
export function mountCalculators(
  places: readonly CalculatorPlace[],
  kept: Readonly<Record<string, RawInputs>>,
  changed: InputsChanged,
): void {
  addStyles();
  const shared = new Map<string, CalculatorInputs>();
  for (const { element, name, preset, language } of places) {
    const calculator = calculatorNamed(name);
    if (calculator) {
      const inputs = shared.get(name) ?? new CalculatorInputs(calculator, preset, kept[name] ?? {});
      if (!shared.has(name)) {
        shared.set(name, inputs);
        inputs.onChange(() => changed(name, inputs.changes));
      }
      element.replaceChildren(new CalculatorForm(calculator, inputs, language).element);
    }
  }
}
