import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { CardFile } from '../../src/core/library/card';
import { SymbolTable } from '../../src/core/library/symbolTable';
import { npmScript } from '../support/packaging';
import { root } from '../support/paths';
import { freshFolder } from '../support/runFolders';
import type { Answer } from './answer';
import { askInHost } from './askInHost';
import { NodeAsker } from './askInNode';
import { judge } from './judgement';
import { jsonLines, type OracleRow, rowsByFile, writeOracleRows } from './oracleRow';
import { classesOf, exampleLine, Tally, tableOf } from './tally';

const usage = `npm run eval:hover -- FOLDER… [options]

Asks the extension at every name of the folders' Python files, and at words of strings and comments, and compares the
answers with an oracle that follows Python's own rules.

  --fast           ask the core in plain Node instead of the extension in a real VS Code
  --files N        only N files of each folder, drawn by --seed
  --seed S         default 1
  --python PATH    a Python with the libraries of src/build/python/requirements.txt; default .venv/bin/python
  --resources FOLDER and --dist FOLDER   the notes and what they are compiled to; default resources and dist
  --examples N     examples of each class, default 5
  --save FILE      every position that was missed, wrong, beyond the oracle or unsure, a line each`;

const noPython =
  'The oracle needs Python with the libraries: run npm run check:notes once, which makes .venv, or give --python PATH.';

const { values: options, positionals: folders } = parseArgs({
  allowPositionals: true,
  options: {
    fast: { type: 'boolean', default: false },
    files: { type: 'string' },
    seed: { type: 'string', default: '1' },
    python: {
      type: 'string',
      default: join(root, '.venv', process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python'),
    },
    resources: { type: 'string', default: join(root, 'resources') },
    dist: { type: 'string', default: join(root, 'dist') },
    examples: { type: 'string', default: '5' },
    save: { type: 'string' },
  },
});

/** The answers of all folders, file by file, from the host or from plain Node. */
async function* answersOf(rowFiles: readonly string[]): AsyncGenerator<readonly (Answer | null)[]> {
  if (!options.fast) {
    yield* await askInHost(rowFiles, console.log);
    return;
  }
  const asker = new NodeAsker(options.dist);
  for (const file of rowFiles) {
    for await (const rows of rowsByFile(jsonLines<OracleRow>(file))) {
      yield await asker.ask(rows[0]?.file ?? '', rows);
    }
  }
}

async function main(): Promise<void> {
  const problem = folders.length === 0 ? usage : existsSync(options.python) ? undefined : noPython;
  if (problem !== undefined) {
    console.error(problem);
    process.exitCode = 2;
    return;
  }
  const rowFiles: string[] = [];
  for (const [at, folder] of folders.entries()) {
    const out = join(freshFolder('oracle'), `${at}.jsonl`);
    const files = options.files === undefined ? undefined : Number(options.files);
    const { python, resources } = options;
    await writeOracleRows({ folder: resolve(folder), resources, python, files, seed: Number(options.seed) }, out);
    rowFiles.push(out);
  }
  if (!options.fast) {
    console.log('Building the extension …');
    await npmScript('build');
  }
  const tallies = await judged(rowFiles);
  for (const tally of tallies) {
    console.log(`\n${tally.name}\n${classesOf(tally)}`);
  }
  console.log(`\n${tableOf(tallies)}`);
}

async function judged(rowFiles: readonly string[]): Promise<readonly Tally[]> {
  const table = new SymbolTable(JSON.parse(readFileSync(join(options.dist, 'cards.json'), 'utf8')) as CardFile);
  const answers = answersOf(rowFiles);
  const saved: string[] = [];
  const tallies: Tally[] = [];
  for (const [at, file] of rowFiles.entries()) {
    const tally = new Tally(nameOf(folders[at] ?? ''), Number(options.examples), Number(options.seed));
    tallies.push(tally);
    for await (const rows of rowsByFile(jsonLines<OracleRow>(file))) {
      const { value: given = [] } = (await answers.next()) as { value: readonly (Answer | null)[] | undefined };
      for (const [index, row] of rows.entries()) {
        const answer = given[index] ?? null;
        const verdict = judge(row, answer, table);
        tally.add(row, answer, verdict);
        if (options.save !== undefined && 'of' in verdict) {
          saved.push(`${verdict.kind}: ${verdict.of}\t${exampleLine({ row, answer }).trim()}`);
        }
      }
    }
  }
  if (options.save !== undefined) {
    writeFileSync(options.save, `${saved.join('\n')}\n`);
  }
  return tallies;
}

/** The last two parts of a path tell folders apart: `torch/nn`. */
function nameOf(folder: string): string {
  const full = resolve(folder);
  return `${basename(dirname(full))}/${basename(full)}`;
}

void main();
