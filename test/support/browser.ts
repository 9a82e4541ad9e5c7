import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { type BrowserContext, chromium } from 'playwright-core';
import { run } from './childProcess';
import type { Progress } from './install';
import { freshFolder } from './runFolders';

const commands = [
  ['chromium', 'chromium-browser'],
  ['google-chrome', 'google-chrome-stable', 'chrome'],
  ['microsoft-edge', 'microsoft-edge-stable', 'msedge'],
].flat();

const applications: Partial<Record<NodeJS.Platform, readonly string[]>> = {
  darwin: [
    '/Applications/Chromium.app/Contents/MacOS/Chromium',
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
    '/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge',
  ],
  win32: windowsPrograms(),
};

function windowsPrograms(): readonly string[] {
  const { PROGRAMFILES, 'PROGRAMFILES(X86)': PROGRAMFILES_X86, LOCALAPPDATA } = process.env;
  const bases = [PROGRAMFILES, PROGRAMFILES_X86, LOCALAPPDATA].filter((base) => base !== undefined);
  const programs = [
    'Chromium/Application/chrome.exe',
    'Google/Chrome/Application/chrome.exe',
    'Microsoft/Edge/Application/msedge.exe',
  ];
  return programs.flatMap((program) => bases.map((base) => join(base, program)));
}

const flags = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
  ...['--disable-component-update', '--disable-sync'],
];

const whatToInstall =
  'No browser was found: install Chromium, Google Chrome or Microsoft Edge, or set CHROME_PATH to the program.';

/** The browser to drive: CHROME_PATH, chromium, google-chrome, Edge, in this order. */
export function findBrowser(): string | undefined {
  const { CHROME_PATH: named } = process.env;
  if (named !== undefined && named !== '') {
    if (!existsSync(named)) throw new Error(`CHROME_PATH names a file that does not exist: ${named}`);
    return named;
  }
  return [...commands.flatMap(onPath), ...(applications[process.platform] ?? [])].find((path) => existsSync(path));
}

function onPath(command: string): string[] {
  const { PATH = '' } = process.env;
  const name = process.platform === 'win32' ? `${command}.exe` : command;
  return PATH.split(delimiter).map((folder) => join(folder, name));
}

/** Finds a browser; where there is none, installs Debian's with a Chinese font if this process may, or says what to do. */
export async function ensureBrowser(progress: Progress): Promise<string> {
  const found = findBrowser();
  if (found !== undefined) {
    if (!hasChineseFont()) await aptInstall(['fonts-noto-cjk'], progress);
    return found;
  }
  await aptInstall(['chromium', 'fonts-noto-cjk'], progress);
  const installed = findBrowser();
  if (installed === undefined) throw new Error(whatToInstall);
  return installed;
}

function mayInstall(): boolean {
  return process.platform === 'linux' && process.getuid?.() === 0 && existsSync('/usr/bin/apt-get');
}

/** Installs Debian packages where that is possible; what comes of it is seen by the caller. */
async function aptInstall(packages: readonly string[], progress: Progress): Promise<void> {
  if (!mayInstall()) return;
  progress(`Installing ${packages.join(' and ')} with apt-get …`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await run('apt-get', ['update', '-qq'], { env });
  const { code, output } = await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], {
    env,
  });
  if (code !== 0) progress(`apt-get could not install ${packages.join(' and ')}:\n${output}`);
}

/** Without such a font Chinese text is drawn as boxes. Only Linux may lack one. */
function hasChineseFont(): boolean {
  if (process.platform !== 'linux') return true;
  try {
    return execFileSync('fc-list', [':lang=zh-cn'], { encoding: 'utf8' }).trim() !== '';
  } catch {
    return false;
  }
}

export interface BrowserOptions {
  readonly width?: number;
  readonly height?: number;
  readonly progress?: Progress;
}

/**
 * A browser window on a fresh profile. Its profile allows cookies of third parties, because without them the frames
 * of a webview may not have the service worker that they load their files through.
 */
export async function openBrowser(options: BrowserOptions = {}): Promise<BrowserContext> {
  const executablePath = await ensureBrowser(options.progress ?? (() => undefined));
  const profile = freshFolder('browser');
  await mkdir(join(profile, 'Default'), { recursive: true });
  await writeFile(join(profile, 'Default', 'Preferences'), JSON.stringify({ profile: { cookie_controls_mode: 0 } }));
  return chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    args: flags,
    viewport: { width: options.width ?? 1280, height: options.height ?? 800 },
    locale: 'en-US',
    reducedMotion: 'reduce',
  });
}
