import { plainText } from './plainText';
import { lineAt } from './problems';

/** An article with code blanked out, its length and lines kept. */
export function prose(text: string): string {
  return text.replace(/^```.*?^```\s*$/gms, (block) => block.replace(/[^\n]/g, ' '));
}

/** The same with names of code in the prose blanked out as well. */
export function proseWithoutCode(text: string): string {
  return prose(text).replace(/`[^`\n]*`/g, (code) => ' '.repeat(code.length));
}

/** What blank lines part, as plain text with the line it starts at; display formulas and code are left out. */
export function* paragraphsOf(text: string): Iterable<readonly [line: number, paragraph: string]> {
  const withoutFormulas = prose(text).replace(/\$\$.+?\$\$/gs, (formula) => formula.replace(/[^\n]/g, ' '));
  for (const block of withoutFormulas.matchAll(/(?:^.*\S.*$\n?)+/gm)) {
    yield [lineAt(text, block.index), plainText(block[0])];
  }
}
