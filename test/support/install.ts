import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { npm } from './childProcess';
import { cache } from './paths';

export type Progress = (line: string) => void;

export interface NpmStep {
  /** Where to install, relative to the folder being made. */
  readonly into: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface Installation {
  /** Names the contents with their versions: a changed recipe is a new folder. */
  readonly name: string;
  readonly title: string;
  readonly steps: readonly NpmStep[];
}

/**
 * Installs npm packages once into a folder of the cache and returns it. Everything is put together under a name of
 * this process's own and renamed at the end, so the final name never stands for a half-finished installation, and two
 * runs that install at once do not disturb each other.
 */
export async function installOnce(installation: Installation, progress: Progress): Promise<string> {
  const folder = join(cache, installation.name);
  if (existsSync(join(folder, 'installed.json'))) return folder;
  progress(`Installing ${installation.title} into .vscode-test/ (once, about half a minute) …`);
  await removeAbandoned(installation.name);
  const partial = `${folder}.partial-${process.pid}`;
  for (const step of installation.steps) await runStep(join(partial, step.into), step);
  await writeFile(join(partial, 'installed.json'), JSON.stringify(installation, undefined, 2));
  await moveInPlace(partial, folder);
  progress(`Installed ${installation.title}.`);
  return folder;
}

async function runStep(into: string, step: NpmStep): Promise<void> {
  await mkdir(into, { recursive: true });
  const quiet = ['--no-audit', '--no-fund', '--loglevel', 'error'];
  const { code, output } = await npm(['install', '--prefix', into, ...quiet, ...step.args], {
    cwd: into,
    env: { ...process.env, ...step.env },
  });
  if (code !== 0) throw new Error(`npm install ${step.args.join(' ')} failed (exit code ${code}):\n${output}`);
}

async function moveInPlace(partial: string, folder: string): Promise<void> {
  if (!existsSync(join(folder, 'installed.json'))) {
    await rm(folder, { recursive: true, force: true });
    await rename(partial, folder).catch(() => undefined);
  }
  await rm(partial, { recursive: true, force: true });
  if (!existsSync(join(folder, 'installed.json'))) throw new Error(`Could not move the installation to ${folder}`);
}

/** Removes what runs that were killed in the middle of an installation left behind. */
async function removeAbandoned(name: string): Promise<void> {
  const entries = existsSync(cache) ? await readdir(cache) : [];
  for (const entry of entries) {
    const pid = entry.startsWith(`${name}.partial-`) ? Number(entry.split('-').at(-1)) : undefined;
    if (pid !== undefined && !isRunning(pid)) await rm(join(cache, entry), { recursive: true, force: true });
  }
  await mkdir(dirname(join(cache, name)), { recursive: true });
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
