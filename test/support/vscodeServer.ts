import type { ChildProcess } from 'node:child_process';
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { run, signalGroup, spawnGroup, stopGroup } from './childProcess';
import type { Progress } from './install';
import { type DisplayLanguage, writeLanguagePack } from './languagePack';
import { freshFolder } from './paths';
import { installServer, type ServerProgram } from './serverInstallation';

export interface ServerOptions {
  /** User settings, laid over those that keep the workbench quiet. */
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly language?: DisplayLanguage;
  /** Packaged extensions to install, the way users do. */
  readonly vsix?: readonly string[];
  /** Unpacked extensions, copied in as if installed: folder by `publisher.name-version`. */
  readonly installed?: Readonly<Record<string, string>>;
  /** Where settings, state and extensions live. Without it: a fresh folder, removed at the end. */
  readonly dataFolder?: string;
  readonly progress?: Progress;
}

export interface Page {
  readonly folder: string;
  readonly extensionDevelopmentPath?: string;
  readonly extensionTestsPath?: string;
  /** A file to open at once. */
  readonly openFile?: string;
}

/** A workbench without the pages, panels and requests that would cover or disturb what is looked at. */
const quietSettings = {
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.enableExperiments': false,
  'chat.disableAIFeatures': true,
  'extensions.ignoreRecommendations': true,
  'extensions.autoUpdate': false,
  'extensions.autoCheckUpdates': false,
  'update.mode': 'none',
  'telemetry.telemetryLevel': 'off',
  'security.workspace.trust.enabled': false,
  'git.enabled': false,
  'git.openRepositoryInParentFolders': 'never',
} as const;

/** A real VS Code server: the extension host that desktop and remote users have, its window in a browser. */
export class VsCodeServer {
  readonly port: number;
  readonly #process: ChildProcess;
  readonly #removeAtEnd: string | undefined;
  readonly #endWithUs = () => signalGroup(this.#process, 'SIGKILL');

  private constructor(process_: ChildProcess, port: number, removeAtEnd: string | undefined) {
    this.#process = process_;
    this.port = port;
    this.#removeAtEnd = removeAtEnd;
    process.once('exit', this.#endWithUs);
  }

  /** Installs the server where needed, starts it on a free port and resolves when it answers. */
  static async start(options: ServerOptions = {}): Promise<VsCodeServer> {
    const program = await installServer(options.progress ?? (() => undefined));
    const data = options.dataFolder ?? freshFolder('server');
    await prepareData(data, options);
    await installExtensions(program, data, options);
    const port = await freePort();
    const child = spawnGroup(program.node, [program.main, ...serverArguments(port, data)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: cleanEnvironment(),
    });
    const server = new VsCodeServer(child, port, options.dataFolder === undefined ? data : undefined);
    await untilAnswering(child, port).catch(async (error: unknown) => {
      await server.stop();
      throw error;
    });
    return server;
  }

  /** The address of the workbench with a folder open. */
  url(page: Page): string {
    const remote = (path: string) => `vscode-remote://127.0.0.1:${this.port}${urlPath(path)}`;
    const payload = [
      ['extensionDevelopmentPath', page.extensionDevelopmentPath],
      ['extensionTestsPath', page.extensionTestsPath],
      ['openFile', page.openFile],
    ].flatMap(([key, path]) => (key && path ? [[key, remote(path)]] : []));
    const query = new URLSearchParams({ folder: urlPath(page.folder), payload: JSON.stringify(payload) });
    return `http://127.0.0.1:${this.port}/?${query}`;
  }

  async stop(): Promise<void> {
    process.removeListener('exit', this.#endWithUs);
    await stopGroup(this.#process);
    if (this.#removeAtEnd !== undefined) {
      await rm(this.#removeAtEnd, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    }
  }
}

function dataFolders(data: string) {
  return { user: join(data, 'user'), server: join(data, 'server'), extensions: join(data, 'extensions') };
}

function serverArguments(port: number, data: string): string[] {
  const folders = dataFolders(data);
  return [
    ...['--host', '127.0.0.1', '--port', String(port), '--without-connection-token'],
    ...['--accept-server-license-terms', '--telemetry-level', 'off', '--disable-workspace-trust'],
    // The two payload pairs that load a development extension and run tests are honoured only with this switch.
    '--enable-smoke-test-driver',
    ...['--user-data-dir', folders.user, '--server-data-dir', folders.server],
    ...['--extensions-dir', folders.extensions],
  ];
}

async function prepareData(data: string, options: ServerOptions): Promise<void> {
  const folders = dataFolders(data);
  const settings = JSON.stringify({ ...quietSettings, ...options.settings }, undefined, 2);
  for (const place of [join(folders.user, 'User'), join(folders.server, 'data', 'Machine')]) {
    await mkdir(place, { recursive: true });
    await writeFile(join(place, 'settings.json'), settings);
  }
  await mkdir(folders.extensions, { recursive: true });
  await writeLanguagePack(options.language ?? 'en', folders.user);
}

async function installExtensions(program: ServerProgram, data: string, options: ServerOptions): Promise<void> {
  const folders = dataFolders(data);
  for (const [name, folder] of Object.entries(options.installed ?? {})) {
    await cp(folder, join(folders.extensions, name), { recursive: true });
  }
  for (const vsix of options.vsix ?? []) {
    const where = ['--extensions-dir', folders.extensions, '--server-data-dir', folders.server];
    const args = [program.main, ...where, '--user-data-dir', folders.user, '--install-extension', vsix, '--force'];
    const { code, output } = await run(program.node, args, { env: cleanEnvironment() });
    if (code !== 0) throw new Error(`VS Code did not install ${vsix} (exit code ${code}):\n${output}`);
  }
}

/** What a VS Code around this process hands down (its terminal, its extension host) would confuse the one started. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(VSCODE_|ELECTRON_|NODE_OPTIONS$|npm_)/.test(name));
  return Object.fromEntries(kept);
}

async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}

async function untilAnswering(child: ChildProcess, port: number): Promise<void> {
  let output = '';
  const collect = (chunk: Buffer) => {
    output = (output + chunk.toString('utf8')).slice(-8000);
  };
  child.stdout?.on('data', collect);
  child.stderr?.on('data', collect);
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`The VS Code server ended at once:\n${output}`);
    const answered = await fetch(`http://127.0.0.1:${port}/version`).then(
      (response) => response.ok,
      () => false,
    );
    if (answered) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`The VS Code server did not answer within a minute:\n${output}`);
}

function urlPath(path: string): string {
  const slashes = path.replaceAll('\\', '/');
  return slashes.startsWith('/') ? slashes : `/${slashes}`;
}
