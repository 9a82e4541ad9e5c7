import { join, resolve } from 'node:path';

/** The repository's top folder. */
export const root = resolve(import.meta.dirname, '..', '..');

/** Where downloads and bundles of the tests live; git ignores it, and `@vscode/test-electron` uses the same name. */
export const cache = join(root, '.vscode-test');

export const fixtureWorkspace = join(root, 'test', 'fixtures', 'workspace');

export const packagedExtension = join(root, 'dist', 'ml-field-notes.vsix');
