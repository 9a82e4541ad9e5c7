import { join } from 'node:path';
import { downloadAndUnzipVSCode } from '@vscode/test-electron';
import { cleanEnvironment, run } from './childProcess';
import { bundleHostTests } from './hostBundle';
import { describeReport, HostReports } from './hostReports';
import { type HostOutcome, outcomeOf } from './hostTests';
import { npmScript } from './packaging';
import { cache, fixtureWorkspace, root } from './paths';
import { freshFolder } from './runFolders';

/** `npm run test:desktop [VERSION]`: the host suite in desktop VS Code, where its download is in reach. */
async function main(version: string): Promise<void> {
  const executable = await downloadAndUnzipVSCode({ version, cachePath: cache }).catch((error: unknown) => {
    throw new Error(
      `Desktop VS Code ${version} cannot be downloaded here (${reason(error)}); npm test needs no download of it.`,
    );
  });
  await npmScript('build:production');
  const outcome = await runSuite(executable, await bundleHostTests(join(root, 'test', 'host')));
  if (outcome.problem !== undefined) console.log(outcome.problem);
  const failed = Math.max(outcome.failed, outcome.problem === undefined ? 0 : 1);
  console.log(`\n${outcome.passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

async function runSuite(executable: string, extensionTestsPath: string): Promise<HostOutcome> {
  const profile = freshFolder('desktop');
  const switches = [
    ...['--no-sandbox', '--disable-gpu-sandbox', '--disable-updates', '--skip-welcome', '--skip-release-notes'],
    ...['--disable-workspace-trust', '--disable-extensions'],
    ...[`--user-data-dir=${join(profile, 'user')}`, `--extensions-dir=${join(profile, 'extensions')}`],
    ...[`--extensionDevelopmentPath=${root}`, `--extensionTestsPath=${extensionTestsPath}`, fixtureWorkspace],
  ];
  const [program, ...args] = onADisplay([executable, ...switches]);
  const { output } = await run(program, args, { env: cleanEnvironment() });
  const reports = new HostReports();
  for (const report of reports.take(output)) {
    const line = describeReport(report);
    if (line !== undefined) console.log(line);
  }
  return outcomeOf(reports, true);
}

/** Electron needs a display; Linux machines without one lend it a virtual one. */
function onADisplay(command: [string, ...string[]]): [string, ...string[]] {
  const { DISPLAY, WAYLAND_DISPLAY } = process.env;
  const lacking = process.platform === 'linux' && DISPLAY === undefined && WAYLAND_DISPLAY === undefined;
  return lacking ? ['xvfb-run', '-a', ...command] : command;
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

main(process.argv[2] ?? 'stable').catch((error: unknown) => {
  console.error(reason(error));
  process.exit(1);
});
