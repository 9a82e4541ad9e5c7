import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './childProcess';
import { root } from './paths';
import { freshFolder } from './runFolders';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  /** Why the run as a whole is worthless, whatever passed. */
  readonly problem: string | undefined;
}

/** Runs test files with Node's own runner in a process of its own and shows its output. */
export async function runNodeTests(files: readonly string[]): Promise<Counts> {
  if (files.length === 0) return { passed: 0, failed: 0, problem: 'there is no test file' };
  const report = join(freshFolder('report'), 'report.tap');
  const reporters = [
    ...['--test-reporter=spec', '--test-reporter-destination=stdout'],
    ...['--test-reporter=tap', `--test-reporter-destination=${report}`],
  ];
  const args = ['--import', 'tsx', '--test', ...reporters, ...files];
  const { code } = await run(process.execPath, args, { cwd: root, echo: true });
  return readCounts(report, code);
}

/** The last lines of a TAP report sum it up: `# pass 12`, `# fail 0`, `# cancelled 0`. */
async function readCounts(report: string, code: number): Promise<Counts> {
  const tap = existsSync(report) ? await readFile(report, 'utf8') : '';
  const sum = (word: string) => Number(new RegExp(`^# ${word} (\\d+)$`, 'm').exec(tap)?.[1] ?? 0);
  const passed = sum('pass');
  const failed = sum('fail') + sum('cancelled');
  const problem =
    passed + failed === 0
      ? 'no test ran'
      : code !== 0 && failed === 0
        ? `the runner ended with code ${code}`
        : undefined;
  return { passed, failed, problem };
}

/** The `*.test.ts` files below a folder, in a fixed order. */
export function testFilesIn(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names
    .filter((name) => name.endsWith('.test.ts'))
    .sort()
    .map((name) => join(folder, name));
}
