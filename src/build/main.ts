import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { checkNotes } from './checkNotes';
import { compile } from './compile';
import { describeProblem, Problems } from './problems';
import { checkCards, readCards } from './readCards';
import { readNotes } from './readNotes';
import { readSearchWords } from './searchFile';
import { checkFirstUses, checkTerms, chineseTexts, readTerms } from './termBase';

/** `npm run build`, first half: checks the resources and compiles them into `dist`; any problem fails the build. */
async function main(resources: string, dist: string): Promise<number> {
  const problems = new Problems();
  const notes = readNotes(`${resources}/notes`, problems);
  const cards = readCards(`${resources}/symbols`, problems);
  const words = readSearchWords(`${resources}/search-words.yaml`, notes, problems);
  checkNotes(notes, problems);
  checkCards(cards, notes, problems);
  const terms = readTerms(`${resources}/terms.yaml`, problems);
  checkTerms(terms, chineseTexts(notes, cards, interfaceFiles()), problems);
  checkFirstUses(terms, notes, problems);
  mkdirSync(dist, { recursive: true });
  await compile(notes, cards, words, dist, problems);
  for (const problem of problems.all) {
    console.error(describeProblem(problem));
  }
  const written = notes.topics.filter((topic) => topic.articles.size > 0).length;
  const symbols = cards.files.flatMap((file) => file.value.flatMap((card) => card.symbols)).length;
  console.log(
    `${notes.topics.length} topics, ${written} with articles, cards for ${symbols} symbols, ${problems.all.length} problems`,
  );
  return problems.all.length > 0 ? 1 : 0;
}

/** The files beside the resources that hold Chinese for readers. */
function interfaceFiles(): readonly string[] {
  const calculators = 'src/core/calculator';
  return [
    'package.nls.zh-cn.json',
    'resources/l10n/bundle.l10n.zh-cn.json',
    'src/core/article/sections.ts',
    ...readdirSync(calculators).map((name) => join(calculators, name)),
  ];
}

const [resources = 'resources', dist = 'dist'] = process.argv.slice(2);
void main(resources, dist).then((code) => {
  process.exitCode = code;
});
