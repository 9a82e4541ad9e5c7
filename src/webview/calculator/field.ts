import type { ChoiceInput, Input, NumberInput } from '../../core/calculator/calculator';
import type { Language } from '../../core/library/language';
import { element } from '../elements';

/** A labelled input with room for a sentence about what is wrong with it. */
export interface Field {
  readonly element: HTMLElement;
  /** Shows a text without moving the caret of the reader who types it. */
  readonly show: (text: string, problem: string | undefined) => void;
}

type Control = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;
type Typed = (text: string) => void;

let made = 0;

export function fieldFor(name: string, input: Input, language: Language, typed: Typed): Field {
  made += 1;
  const id = `field-${made}`;
  const label = element('label', { for: id }, input.label[language]);
  const problem = element('span', { id: `${id}-problem`, class: 'problem' });
  const control = controlFor(id, input, language, typed);
  control.dataset.input = name;
  const slider = input.kind === 'number' && input.slider ? sliderFor(input, input.label[language], typed) : undefined;
  const parts =
    input.kind === 'toggle'
      ? [element('div', { class: 'check' }, control, label)]
      : [label, control, ...(slider ? [slider] : [])];
  return {
    element: element('div', { class: `field ${input.kind}${isShort(input) ? ' short' : ''}` }, ...parts, problem),
    show: (text, wrong) => {
      put(control, text);
      if (slider) {
        put(slider, text);
      }
      say(control, problem, wrong);
    },
  };
}

function controlFor(id: string, input: Input, language: Language, typed: Typed): Control {
  const control = bareControl(id, input, language);
  control.addEventListener('input', () => typed(textOf(control)));
  return control;
}

function bareControl(id: string, input: Input, language: Language): Control {
  switch (input.kind) {
    case 'integer':
      return element('input', {
        id,
        type: 'number',
        inputmode: 'numeric',
        min: `${input.min}`,
        max: `${input.max}`,
        step: '1',
      });
    case 'number':
      // Without its least value: arrow keys would count from there, to 0.10000001.
      return element('input', { id, type: 'number', inputmode: 'decimal', step: `${input.step}` });
    case 'toggle':
      return element('input', { id, type: 'checkbox' });
    case 'list':
      return element('input', { id, type: 'text', spellcheck: 'false' });
    case 'rows':
      return element('textarea', { id, rows: '5', spellcheck: 'false' });
    case 'choice':
      return element('select', { id }, ...options(input, language));
  }
}

function options({ options: all }: ChoiceInput, language: Language): readonly HTMLOptionElement[] {
  return all.map(({ id, label }) => element('option', { value: id }, label[language]));
}

/** The slider says the same as the field before it, for the pointer and for arrow keys. */
function sliderFor({ min, max, step }: NumberInput, label: string, typed: Typed): HTMLInputElement {
  const slider = element('input', {
    type: 'range',
    min: `${min}`,
    max: `${max}`,
    step: `${step}`,
    'aria-label': label,
  });
  slider.addEventListener('input', () => typed(slider.value));
  return slider;
}

function textOf(control: Control): string {
  return control instanceof HTMLInputElement && control.type === 'checkbox' ? String(control.checked) : control.value;
}

function put(control: Control, text: string): void {
  if (control instanceof HTMLInputElement && control.type === 'checkbox') {
    control.checked = text === 'true';
  } else if (control.value !== text) {
    control.value = text;
  }
}

function say(control: Control, place: HTMLElement, wrong: string | undefined): void {
  place.textContent = wrong ?? '';
  if (wrong === undefined) {
    control.removeAttribute('aria-invalid');
    control.removeAttribute('aria-describedby');
  } else {
    control.setAttribute('aria-invalid', 'true');
    control.setAttribute('aria-describedby', place.id);
  }
}

/** Whether a list fits beside other fields. */
function isShort(input: Input): boolean {
  return input.kind === 'list' && input.length.max <= 4;
}
