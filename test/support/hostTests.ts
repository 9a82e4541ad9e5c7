import type { BrowserContext } from 'playwright-core';
import { bundleHostTests } from './hostBundle';
import { describeReport, HostReports } from './hostReports';
import type { VsCodeServer } from './vscodeServer';

export interface HostTestOptions {
  readonly server: VsCodeServer;
  readonly context: BrowserContext;
  /** The folder whose `*.test.ts` files run. */
  readonly tests: string;
  readonly workspace: string;
  readonly extensionDevelopmentPath: string;
  readonly timeoutMs?: number;
  readonly print?: (line: string) => void;
}

export interface HostOutcome {
  readonly passed: number;
  readonly failed: number;
  readonly figures: ReadonlyMap<string, unknown>;
  /** Why the run as a whole is worthless: nothing ran, the host ended early, it never ended. */
  readonly problem: string | undefined;
}

/** Runs a suite inside the extension host of a server: opens its page and listens until the host says it is done. */
export async function runHostTests(options: HostTestOptions): Promise<HostOutcome> {
  const extensionTestsPath = await bundleHostTests(options.tests);
  const page = await options.context.newPage();
  const reports = new HostReports();
  const ended = new Promise<void>((resolve) => {
    void page.exposeFunction('codeAutomationExit', () => resolve());
    void page.exposeFunction('codeAutomationLog', (_type: string, args: readonly unknown[]) => {
      for (const report of reports.take(args.map(String).join(' '))) printReport(report, options.print);
    });
  });
  try {
    await page.goto(options.server.url({ ...options, folder: options.workspace, extensionTestsPath }));
    const inTime = await Promise.race([ended.then(() => true), delay(options.timeoutMs ?? 240_000)]);
    return outcomeOf(reports, inTime);
  } finally {
    await page.close();
  }
}

function printReport(report: Parameters<typeof describeReport>[0], print = console.log): void {
  const line = describeReport(report);
  if (line !== undefined) print(line);
}

/** Turns reports into counts. A suite that did not reach its end counts as a failure whatever passed before. */
export function outcomeOf(reports: HostReports, inTime: boolean): HostOutcome {
  const [passed, failed] = [reports.count('passed'), reports.count('failed')];
  const problem = !inTime
    ? 'the suite did not end in time'
    : reports.count('ended') === 0
      ? 'the extension host ended before the suite did'
      : passed + failed === 0
        ? 'no test ran'
        : undefined;
  const detail = problem === undefined ? undefined : `${problem}\n${reports.lastWords}`;
  return { passed, failed, figures: reports.figures, problem: detail };
}

function delay(ms: number): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), ms).unref());
}
