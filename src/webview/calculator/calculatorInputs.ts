import type { Calculator, Outcome } from '../../core/calculator/calculator';
import { initialText, isShown, type RawInputs, readInputs } from '../../core/calculator/readInputs';
import type { Localized } from '../../core/library/language';

export interface CalculatorReading {
  /** Missing while a field holds what cannot be read. */
  readonly outcome: Outcome | undefined;
  /** Sentences that belong beside fields. */
  readonly problems: ReadonlyMap<string, Localized>;
}

/** What the fields of one calculator hold; the forms in both languages show the same. */
export class CalculatorInputs {
  readonly #calculator: Calculator;
  readonly #initial: RawInputs;
  readonly #listeners: (() => void)[] = [];
  #changes: RawInputs;

  constructor(calculator: Calculator, preset: RawInputs, changes: RawInputs) {
    this.#calculator = calculator;
    this.#initial = {
      ...Object.fromEntries(Object.entries(calculator.inputs).map(([id, input]) => [id, initialText(input)])),
      ...Object.fromEntries(Object.entries(preset).map(([id, text]) => [id, presetText(calculator, id, text)])),
    };
    // A field that an older version had is forgotten.
    this.#changes = Object.fromEntries(Object.entries(changes).filter(([id]) => id in calculator.inputs));
  }

  /** What differs from the start. */
  get changes(): RawInputs {
    return this.#changes;
  }

  text(id: string): string {
    return this.#changes[id] ?? this.#initial[id] ?? '';
  }

  shown(id: string): boolean {
    return isShown(this.#calculator.inputs, id, this.#all);
  }

  read(): CalculatorReading {
    const { values, problems } = readInputs(this.#calculator.inputs, this.#all);
    if (problems.size > 0) {
      return { outcome: undefined, problems };
    }
    const outcome = this.#calculator.calculate(values);
    return 'refused' in outcome
      ? { outcome: undefined, problems: new Map([[outcome.input, outcome.refused]]) }
      : { outcome, problems };
  }

  set(id: string, text: string): void {
    const { [id]: _, ...others } = this.#changes;
    this.#changes = text === this.#initial[id] ? others : { ...others, [id]: text };
    this.#tell();
  }

  reset(): void {
    this.#changes = {};
    this.#tell();
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  get #all(): RawInputs {
    return { ...this.#initial, ...this.#changes };
  }

  #tell(): void {
    for (const listener of this.#listeners) {
      listener();
    }
  }
}

/** An article writes rows into one line; the field shows each on its own. */
function presetText(calculator: Calculator, id: string, text: string): string {
  return calculator.inputs[id]?.kind === 'rows' ? text.replace(/\s*[;；]\s*/g, '\n') : text;
}
