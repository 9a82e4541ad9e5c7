import { join } from 'node:path';
import { headingOf } from '../core/article/sections';
import { parseCalculatorFence } from '../core/calculator/calculatorFence';
import { calculatorNamed } from '../core/calculator/calculators';
import { readInputs } from '../core/calculator/readInputs';
import { type Language, languages } from '../core/library/language';
import { lineAt, type Problems } from './problems';
import type { TopicFolder } from './readNotes';

interface Fence {
  readonly content: string;
  readonly line: number;
  readonly section: string;
}

/** Checks that calculators exist, start with inputs that they have, stand in their section, and are the same in both languages. */
export function checkCalculators(topic: TopicFolder, problems: Problems): void {
  const named = languages.map((language) => {
    const text = topic.articles.get(language);
    const file = join(topic.folder, `${language}.md`);
    return text === undefined ? undefined : checkFences(file, language, text, problems);
  });
  const [english, chinese] = named;
  if (english && chinese) {
    const at = chinese.findIndex(({ content }, index) => content !== english[index]?.content);
    if (at >= 0 || english.length !== chinese.length) {
      const line = chinese[at]?.line ?? 1;
      problems.report(join(topic.folder, 'zh-cn.md'), line, 'the calculators differ from those of en.md');
    }
  }
}

function checkFences(file: string, language: Language, text: string, problems: Problems): readonly Fence[] {
  const heading = headingOf('try-it', language);
  const fences = fencesOf(text);
  for (const { content, line, section } of fences) {
    for (const { reason, below } of mistakesIn(content)) {
      problems.report(file, line + below, reason);
    }
    if (section !== heading) {
      problems.report(file, line, `a calculator stands in the section "${heading}"`);
    }
  }
  const names = fences.map(({ content }) => parseCalculatorFence(content).name);
  for (const [index, { line }] of fences.entries()) {
    if (names.indexOf(names[index] ?? '') < index) {
      problems.report(file, line, `the calculator ${names[index]} stands twice`);
    }
  }
  const section = text.search(new RegExp(`^## ${heading}\\s*$`, 'm'));
  if (section >= 0 && fences.length === 0) {
    problems.report(file, lineAt(text, section), `the section "${heading}" holds no calculator`);
  }
  return fences;
}

function fencesOf(text: string): readonly Fence[] {
  const fences = [...text.matchAll(/^```calculator[^\S\n]*\n(.*?)^```/gms)];
  return fences.map((match) => ({
    content: (match[1] ?? '').trim(),
    line: lineAt(text, match.index) + 1,
    section:
      text
        .slice(0, match.index)
        .match(/^## (.+)$/gm)
        ?.at(-1)
        ?.slice(3)
        .trim() ?? '',
  }));
}

interface Mistake {
  readonly reason: string;
  /** Lines below the first one of the fence. */
  readonly below: number;
}

function mistakesIn(content: string): readonly Mistake[] {
  const { name, preset, unread } = parseCalculatorFence(content);
  const calculator = calculatorNamed(name);
  if (!calculator) {
    return [{ reason: `there is no calculator ${name} (see resources/README.md)`, below: 0 }];
  }
  const lineOf = (id: string) => content.split('\n').findIndex((line) => line.trim().startsWith(`${id}:`));
  const ids = Object.keys(preset);
  const unknown = ids.filter((id) => !(id in calculator.inputs));
  const { values, problems } = readInputs(calculator.inputs, preset);
  const choices = ids.filter((id) => {
    const input = calculator.inputs[id];
    return input?.kind === 'choice' && !input.options.some((option) => option.id === preset[id]);
  });
  const outcome = problems.size > 0 ? undefined : calculator.calculate(values);
  return [
    ...unread.map((line) => ({ reason: 'below the name stand lines of the form input: value', below: line - 1 })),
    ...unknown.map((id) => ({ reason: `the calculator ${name} has no input ${id}`, below: lineOf(id) })),
    ...choices.map((id) => ({ reason: `${id} has no option ${preset[id]}`, below: lineOf(id) })),
    ...[...problems].map(([id, problem]) => ({ reason: `${id}: ${problem.en}`, below: Math.max(0, lineOf(id)) })),
    ...(outcome && 'refused' in outcome ? [{ reason: `${outcome.input}: ${outcome.refused.en}`, below: 0 }] : []),
  ];
}
