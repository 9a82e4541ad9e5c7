import { mkdirSync, mkdtempSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** The repository's top folder. */
export const root = resolve(import.meta.dirname, '..', '..');

/** Where downloads and bundles of the tests live; git ignores it, and `@vscode/test-electron` uses the same name. */
export const cache = join(root, '.vscode-test');

export const fixtureWorkspace = join(root, 'test', 'fixtures', 'workspace');

export const packagedExtension = join(root, 'dist', 'ml-field-notes.vsix');

/** An empty folder of its own for one run. Kept inside the cache, so that a crash leaves nothing elsewhere. */
export function freshFolder(purpose: string): string {
  const parent = join(cache, 'runs');
  mkdirSync(parent, { recursive: true });
  return mkdtempSync(join(parent, `${purpose}-`));
}
