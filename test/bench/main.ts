import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BrowserContext } from 'playwright-core';
import { openBrowser } from '../support/browser';
import { type HostOutcome, runHostTests } from '../support/hostTests';
import { packageExtension } from '../support/packaging';
import { packagedExtension, root } from '../support/paths';
import { freshFolder } from '../support/runFolders';
import { VsCodeServer } from '../support/vscodeServer';
import { workspaceCopy } from '../support/workspaceCopy';
import { type Comparison, joinRounds } from './figures';
import { hoverSizes } from './hover/sizes';
import { observePaints } from './paints';
import { benchSearch } from './search/bench';
import { type Row, renderSizes, renderTable, type Size } from './table';

const floor = join(root, 'test', 'bench', 'floor');
const activationRounds = 10;
const hostRounds = 2;

/** `npm run bench [-- activation|host|hover|search]`: figures of the packaged extension in a real host, each beside its floor from the same run. */
async function main(): Promise<void> {
  await packageExtension();
  const paints = join(freshFolder('bench'), 'paints.jsonl');
  writeFileSync(paints, '');
  const server = await VsCodeServer.start({
    vsix: [packagedExtension],
    installed: [join(floor, 'empty'), join(floor, 'warmUp')],
    progress: console.log,
  });
  const browser = await openBrowser({ progress: console.log });
  await observePaints(browser, paints);
  try {
    const wanted = process.argv.slice(2);
    const isWanted = (part: string) => wanted.length === 0 || wanted.includes(part);
    const rows = [
      ...(isWanted('activation') ? await measureActivation({ server, browser, paints }) : []),
      ...(isWanted('host') ? await measureInteractions({ server, browser, paints }) : []),
      ...(isWanted('hover') ? await measureHovers({ server, browser, paints }) : []),
    ];
    console.log(renderTable(rows));
    if (isWanted('search')) await benchSearch();
    console.log(renderSizes(sizes()));
  } finally {
    await browser.close();
    await server.stop();
  }
}

interface Bench {
  readonly server: VsCodeServer;
  readonly browser: BrowserContext;
  readonly paints: string;
}

async function measureActivation(bench: Bench): Promise<readonly Row[]> {
  const outcomes: HostOutcome[] = [];
  for (let round = 0; round < activationRounds; round++) outcomes.push(await runRound(bench, 'activation', round));
  return [row('activation', 'an empty extension', outcomes, 2)];
}

async function measureInteractions(bench: Bench): Promise<readonly Row[]> {
  const interactions: HostOutcome[] = [];
  for (let round = 0; round < hostRounds; round++) interactions.push(await runRound(bench, 'host', round));
  return [
    row('hover', 'a fixed word', interactions),
    row('first hover', 'a fixed word', interactions),
    row('new panel', 'a trivial page ready', interactions, 1.5),
    row('longest article', 'a trivial page ready', interactions, 2),
    row('first article', 'a trivial page ready', interactions),
    row('topic swap', 'a trivial page ready', interactions, 0.3),
    row('topic swap beside a trivial swap', 'a trivial page swaps', interactions),
  ];
}

async function measureHovers(bench: Bench): Promise<readonly Row[]> {
  const outcomes = [await runRound(bench, 'hover', 0)];
  return hoverSizes.flatMap(({ lines }) => [
    row(`hover ${lines} lines, cold`, 'a fixed word', outcomes),
    row(`hover ${lines} lines, warm`, 'a fixed word', outcomes, 1.5),
    {
      ...row(`hover ${lines} lines, after an edit`, 'a fixed word', outcomes),
      budgetAbove: lines === 2000 ? 10 : undefined,
    },
  ]);
}

/** Real code: the checks of all notes, one after the other. */
function realCode(): string {
  const notes = join(root, 'resources', 'notes');
  const files = readdirSync(notes, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('checks.py'));
  return files.map((name) => readFileSync(join(notes, name), 'utf8')).join('\n');
}

/** Runs a suite in a host of its own. */
async function runRound(bench: Bench, suite: 'activation' | 'host' | 'hover', round: number): Promise<HostOutcome> {
  await bench.server.writeSettings({
    'bench.round': round,
    'bench.paints': bench.paints,
    ...(suite === 'hover' ? { 'bench.code': realCode() } : {}),
  });
  const outcome = await runHostTests({
    server: bench.server,
    context: bench.browser,
    tests: join(root, 'test', 'bench', suite),
    workspace: await workspaceCopy(),
    extensionDevelopmentPath: join(floor, 'tests'),
    print: (line) => console.log(`${suite} ${round + 1}: ${line.trim()}`),
  });
  if (outcome.problem !== undefined || outcome.failed > 0) throw new Error(outcome.problem ?? 'a measurement failed');
  return outcome;
}

function row(name: string, floorName: string, outcomes: readonly HostOutcome[], budget?: number): Row {
  const rounds = outcomes.map(({ figures }) => figures.get(name) as Comparison | undefined);
  const joined = joinRounds(rounds.filter((round) => round !== undefined));
  return { name, floorName, ...joined, ...(budget === undefined ? {} : { budget }) };
}

function sizes(): readonly Size[] {
  return [
    { name: 'dist/extension.js', bytes: statSync(join(root, 'dist', 'extension.js')).size, budget: 100 * 1024 },
    { name: 'ml-field-notes.vsix', bytes: statSync(packagedExtension).size, budget: 6 * 1024 * 1024 },
  ];
}

main().then(
  () => process.exit(process.exitCode ?? 0),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  },
);
