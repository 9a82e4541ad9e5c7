import { join } from 'node:path';
import { openBrowser } from './support/browser';
import { developmentFolder } from './support/developmentFolder';
import { runHostTests } from './support/hostTests';
import { type Counts, runNodeTests, testFilesIn } from './support/nodeTests';
import { npmScript, packageExtension } from './support/packaging';
import { fixtureWorkspace, root } from './support/paths';
import { removeAbandonedRunFolders } from './support/runFolders';
import { VsCodeServer } from './support/vscodeServer';

/**
 * `npm test [SUITE…]`: builds and packages the extension, checks types and style, and runs the suites named, or all.
 * A suite that runs no test or does not reach its end counts as a failure.
 */
const suites = {
  check: () => step(() => npmScript('check')),
  unit: () => runNodeTests(testFilesIn(join(root, 'test', 'unit'))),
  content: () => runNodeTests(testFilesIn(join(root, 'test', 'content'))),
  host: runInHost,
  ui: () => runNodeTests([join(root, 'test', 'ui', 'all.ts')]),
  web: () => runNodeTests([join(root, 'test', 'ui', 'webHost.test.ts')]),
} satisfies Record<string, () => Promise<Counts>>;

type SuiteName = keyof typeof suites;

const needPackage: ReadonlySet<SuiteName> = new Set(['host', 'ui', 'web']);

interface Result extends Counts {
  readonly name: string;
  readonly seconds: number;
}

async function main(names: readonly SuiteName[]): Promise<boolean> {
  removeAbandonedRunFolders();
  const results: Result[] = [];
  const attempt = async (name: string, body: () => Promise<Counts>) => {
    console.log(`\n── ${name} ──`);
    const result = await timed(name, body);
    results.push(result);
    return result.problem === undefined;
  };
  const packaged = names.some((name) => needPackage.has(name))
    ? await attempt('package', () => step(packageExtension))
    : true;
  for (const name of names) {
    const lacking = needPackage.has(name) && !packaged;
    await attempt(name, lacking ? async () => failure('the extension could not be packaged') : suites[name]);
  }
  return summarize(results);
}

async function timed(name: string, body: () => Promise<Counts>): Promise<Result> {
  const start = Date.now();
  const counts = await body().catch((error: unknown) =>
    failure(error instanceof Error ? error.message : String(error)),
  );
  if (counts.problem !== undefined) console.log(counts.problem);
  return { name, ...counts, seconds: (Date.now() - start) / 1000 };
}

function failure(problem: string): Counts {
  return { passed: 0, failed: 0, problem };
}

/** A step that is no test: it adds nothing where it succeeds, and a failure where it does not. */
async function step(body: () => Promise<unknown>): Promise<Counts> {
  await body();
  return { passed: 0, failed: 0, problem: undefined };
}

async function runInHost(): Promise<Counts> {
  const server = await VsCodeServer.start({ progress: console.log });
  try {
    const context = await openBrowser({ progress: console.log });
    const tests = join(root, 'test', 'host');
    const outcome = runHostTests({
      server,
      context,
      tests,
      workspace: fixtureWorkspace,
      extensionDevelopmentPath: developmentFolder(),
    });
    return await outcome.finally(() => context.close());
  } finally {
    await server.stop();
  }
}

function summarize(results: readonly Result[]): boolean {
  console.log('');
  for (const { name, passed, failed, problem, seconds } of results) {
    const counts =
      passed + failed > 0 ? `${passed} passed, ${failed} failed` : problem === undefined ? 'done' : 'failed';
    console.log(`${name.padEnd(8)} ${counts.padEnd(24)} ${seconds.toFixed(1).padStart(6)} s`);
  }
  const passed = results.reduce((sum, result) => sum + result.passed, 0);
  const failed = results.reduce(
    (sum, result) => sum + Math.max(result.failed, result.problem === undefined ? 0 : 1),
    0,
  );
  console.log(`\n${passed} passed, ${failed} failed`);
  return failed === 0;
}

function isSuite(name: string): name is SuiteName {
  return name in suites;
}

const named = process.argv.slice(2);
const unknown = named.filter((name) => !isSuite(name));
if (unknown.length > 0) {
  console.error(`There is no suite ${unknown.join(', ')}; the suites are ${Object.keys(suites).join(', ')}.`);
  process.exit(2);
}
void main((named.length > 0 ? named : Object.keys(suites)).filter(isSuite)).then((good) => process.exit(good ? 0 : 1));
