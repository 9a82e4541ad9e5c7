/** One slip of each kind at a place that the number decides: letters swapped, left out, doubled, or the key beside. */
export function typingErrorsOf(name: string, number: number): readonly string[] {
  const at = 1 + (number % Math.max(1, name.length - 2));
  const [before, here, next, after] = [name.slice(0, at), name[at] ?? '', name[at + 1] ?? '', name.slice(at + 2)];
  const errors = [
    `${before}${next}${here}${after}`,
    `${before}${next}${after}`,
    `${before}${here}${here}${next}${after}`,
    `${before}${keyBeside(here)}${next}${after}`,
  ];
  return [...new Set(errors)].filter((error) => error !== name);
}

const rows = ['qwertyuiop', 'asdfghjkl', 'zxcvbnm'];

function keyBeside(letter: string): string {
  const row = rows.find((keys) => keys.includes(letter.toLowerCase())) ?? '';
  const at = row.indexOf(letter.toLowerCase());
  return row[at + 1] ?? row[at - 1] ?? letter;
}
