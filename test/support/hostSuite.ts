/**
 * The test functions of the suite that runs inside an extension host. `node:test` is made for a process of its own: in a
 * host it would write to an output nobody reads and would never say that it has ended.
 */
type Body = () => void | Promise<void>;

interface HostTest {
  readonly name: string;
  readonly body: Body;
  readonly timeoutMs: number;
}

/** What a running suite tells the process that started VS Code, one JSON object a line behind `reportMark`. */
export type HostReport =
  | { readonly kind: 'passed'; readonly name: string; readonly ms: number }
  | { readonly kind: 'failed'; readonly name: string; readonly ms: number; readonly error: string }
  | { readonly kind: 'figures'; readonly name: string; readonly figures: unknown }
  | { readonly kind: 'ended' };

export const reportMark = '@host-suite ';

const tests: HostTest[] = [];
let around: readonly string[] = [];

/** Names a group of tests. */
export function suite(name: string, declare: () => void): void {
  around = [...around, name];
  declare();
  around = around.slice(0, -1);
}

/** Declares a test. It runs after all files are loaded, in the order of declaration. */
export function test(name: string, body: Body, timeoutMs = 30_000): void {
  tests.push({ name: [...around, name].join(' › '), body, timeoutMs });
}

/** Hands measured values to the process that started VS Code. */
export function reportFigures(name: string, figures: unknown): void {
  report({ kind: 'figures', name, figures });
}

/** Runs what was declared. Rejects where a test failed, as VS Code expects of `extensionTestsPath`. */
export async function runDeclaredTests(): Promise<void> {
  let failed = 0;
  for (const each of tests) failed += (await runOne(each)) ? 0 : 1;
  report({ kind: 'ended' });
  if (failed > 0) throw new Error(`${failed} of ${tests.length} tests failed`);
}

async function runOne(each: HostTest): Promise<boolean> {
  const start = Date.now();
  try {
    await withTimeout(each);
    report({ kind: 'passed', name: each.name, ms: Date.now() - start });
    return true;
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    report({ kind: 'failed', name: each.name, ms: Date.now() - start, error: text });
    return false;
  }
}

async function withTimeout(each: HostTest): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${each.timeoutMs} ms`)), each.timeoutMs);
  });
  try {
    await Promise.race([each.body(), late]);
  } finally {
    clearTimeout(timer);
  }
}

function report(what: HostReport): void {
  console.log(reportMark + JSON.stringify(what));
}
