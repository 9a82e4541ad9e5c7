import { lstatSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { cache, root } from './paths';

/**
 * The repository under another name, for `extensionDevelopmentPath`. VS Code shows the colour theme of the extension in
 * development whatever the settings say, and takes every theme below that folder for one of its own. The server
 * lies below the repository, and its built-in themes with it, so the repository's real path would override all settings.
 */
export function developmentFolder(): string {
  const link = join(cache, 'extension');
  mkdirSync(cache, { recursive: true });
  if (lstatSync(link, { throwIfNoEntry: false }) === undefined) symlinkSync(root, link, 'junction');
  return link;
}
