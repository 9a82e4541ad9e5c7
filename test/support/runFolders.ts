import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { cache } from './paths';

const parent = join(cache, 'runs');
const ours: string[] = [];

/** An empty folder that is removed when this process ends. */
export function freshFolder(purpose: string): string {
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, `${purpose}-`));
  if (ours.push(folder) === 1) process.once('exit', removeOurs);
  return folder;
}

function removeOurs(): void {
  for (const folder of ours) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
}

/** Removes what runs that were killed left behind. Young folders may belong to a run that goes on at the same time. */
export function removeAbandonedRunFolders(): void {
  mkdirSync(parent, { recursive: true });
  const anHourAgo = Date.now() - 3_600_000;
  for (const name of readdirSync(parent)) {
    const folder = join(parent, name);
    if (statSync(folder).mtimeMs < anHourAgo) rmSync(folder, { recursive: true, force: true });
  }
}
