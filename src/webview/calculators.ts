import type { RawInputs } from '../core/calculator/readInputs';
import type { Language } from '../core/library/language';
import type { CalculatorPlace, InputsChanged } from './calculator/mountCalculators';

type Chunk = typeof import('./calculator/mountCalculators');

const notLoaded = {
  en: 'The calculator could not be loaded. Reinstall ML Field Notes to mend it.',
  'zh-cn': '计算器未能加载。请重新安装 ML Field Notes。',
} as const;

/**
 * Fills the calculators of an article that are empty yet. Their code and styles are loaded with the first one; `inPlace`
 * makes the change, so that the text does not jump when they are there.
 */
export async function fillCalculators(
  article: HTMLElement,
  kept: Readonly<Record<string, RawInputs>>,
  changed: InputsChanged,
  inPlace: (change: () => void) => void,
): Promise<void> {
  const places = [...article.querySelectorAll<HTMLElement>('.calculator[data-calculator]:empty')].map(placeOf);
  const chunk = document.body.dataset.calculators;
  if (places.length === 0 || chunk === undefined) {
    return;
  }
  const loaded = await (import(chunk) as Promise<Chunk>).catch(() => undefined);
  if (!loaded) {
    for (const { element, language } of places) {
      element.textContent = notLoaded[language];
    }
    return;
  }
  // Meanwhile another article may have been put on the page.
  if (places.every(({ element }) => element.isConnected && element.childElementCount === 0)) {
    inPlace(() => loaded.mountCalculators(places, kept, changed));
  }
}

function placeOf(element: HTMLElement): CalculatorPlace {
  const { calculator = '', preset } = element.dataset;
  const language: Language = element.closest('[lang]')?.getAttribute('lang') === 'en' ? 'en' : 'zh-cn';
  // The renderer wrote the preset; it is data of our own.
  return { element, name: calculator, preset: preset ? (JSON.parse(preset) as RawInputs) : {}, language };
}
