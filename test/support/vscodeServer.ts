import type { ChildProcess } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { cleanEnvironment, spawnGroup, stopGroup } from './childProcess';
import { dataFolders, dataSwitches, installExtension, installFolder } from './extensionPackage';
import type { Progress } from './install';
import { type DisplayLanguage, writeLanguagePack } from './languagePack';
import { freshFolder } from './runFolders';
import { installServer, type ServerProgram } from './serverInstallation';
import { themes } from './themes';

export interface ServerOptions {
  /** User settings, laid over those that keep the workbench quiet. */
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly language?: DisplayLanguage;
  /** Packaged extensions to install, the way users do. */
  readonly vsix?: readonly string[];
  /** Folders of unpacked extensions to install. */
  readonly installed?: readonly string[];
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
  'workbench.colorTheme': themes.dark.id,
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
  readonly #data: string;
  readonly #removeAtEnd: boolean;

  private constructor(child: ChildProcess, port: number, data: string, removeAtEnd: boolean) {
    this.#process = child;
    this.port = port;
    this.#data = data;
    this.#removeAtEnd = removeAtEnd;
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
    const server = new VsCodeServer(child, port, data, options.dataFolder === undefined);
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

  /** Replaces the user settings. */
  async writeSettings(settings: Readonly<Record<string, unknown>>): Promise<void> {
    await writeSettings(this.#data, settings);
  }

  async stop(): Promise<void> {
    await stopGroup(this.#process);
    if (this.#removeAtEnd) await rm(this.#data, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

function serverArguments(port: number, data: string): string[] {
  return [
    ...['--host', '127.0.0.1', '--port', String(port), '--without-connection-token'],
    ...['--accept-server-license-terms', '--telemetry-level', 'off', '--disable-workspace-trust'],
    // The two payload pairs that load a development extension and run tests are honoured only with this switch.
    '--enable-smoke-test-driver',
    ...dataSwitches(dataFolders(data)),
  ];
}

async function prepareData(data: string, options: ServerOptions): Promise<void> {
  const folders = dataFolders(data);
  await writeSettings(data, options.settings ?? {});
  await mkdir(folders.extensions, { recursive: true });
  await writeLanguagePack(options.language ?? 'en', folders.user);
}

async function writeSettings(data: string, settings: Readonly<Record<string, unknown>>): Promise<void> {
  const folder = join(dataFolders(data).user, 'User');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'settings.json'), JSON.stringify({ ...quietSettings, ...settings }, undefined, 2));
}

async function installExtensions(program: ServerProgram, data: string, options: ServerOptions): Promise<void> {
  const folders = dataFolders(data);
  for (const vsix of options.vsix ?? []) await installExtension(program, folders, vsix);
  for (const folder of options.installed ?? []) await installFolder(folders, folder);
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
