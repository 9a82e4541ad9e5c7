import { spawn } from 'node:child_process';
import { createReadStream, createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { root } from '../support/paths';

/** What `oracle.py` says about one position; lines and columns from 0, columns in UTF-16 code units. */
export interface OracleRow {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly endColumn: number;
  readonly text: string;
  readonly context:
    | 'code'
    | 'import'
    | 'definition'
    | 'parameter'
    | 'keyword-argument'
    | 'keyword'
    | 'string'
    | 'comment'
    | 'number';
  readonly qualified: string | null;
  readonly certainty: 'sure' | 'alias' | 'unsure';
  readonly why?: 'value' | 'own' | 'builtin' | 'unbound' | 'text';
  readonly candidates?: readonly string[];
  /** The path by which the code reaches it, where that is not the public name. */
  readonly path?: string;
}

/** What to look at and how much of it. */
export interface Selection {
  readonly folder: string;
  readonly resources: string;
  readonly python: string;
  /** Only so many files, drawn by the seed. */
  readonly files: number | undefined;
  readonly seed: number;
}

/** Runs the oracle over a folder; its rows go to a file, since a large package has millions. */
export async function writeOracleRows(selection: Selection, outFile: string): Promise<void> {
  const { folder, resources, python, files, seed } = selection;
  const sample = files === undefined ? [] : ['--files', String(files)];
  const script = join(root, 'test', 'eval', 'oracle.py');
  const args = [script, resources, folder, ...sample, '--seed', String(seed)];
  const child = spawn(python, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const code = await new Promise<number | null>((done, failed) => {
    child.on('error', failed);
    child.on('close', done);
    child.stdout.pipe(createWriteStream(outFile));
  });
  if (code !== 0) {
    throw new Error(`the oracle ended with code ${code}`);
  }
}

/** The lines of a file of JSON lines. */
export async function* jsonLines<T>(file: string): AsyncGenerator<T> {
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY })) {
    yield JSON.parse(line) as T;
  }
}

/** The rows file by file, in the order in which they were written. */
export async function* rowsByFile(rows: AsyncIterable<OracleRow>): AsyncGenerator<readonly OracleRow[]> {
  let group: OracleRow[] = [];
  for await (const row of rows) {
    if (group[0] !== undefined && group[0].file !== row.file) {
      yield group;
      group = [];
    }
    group.push(row);
  }
  if (group.length > 0) {
    yield group;
  }
}

/** Where the mouse rests on a name: in its middle. */
export function askedColumn({ column, endColumn }: OracleRow): number {
  return column + Math.floor((endColumn - column) / 2);
}
