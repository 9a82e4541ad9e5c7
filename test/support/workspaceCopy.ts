import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fixtureWorkspace } from './paths';
import { freshFolder } from './runFolders';

/**
 * A copy of the fixture workspace. VS Code keeps the state of a window (open editors, views, history) by its folder, so
 * a window with a copy of its own starts from nothing and its edits disturb nobody.
 */
export async function workspaceCopy(): Promise<string> {
  const folder = join(freshFolder('workspace'), 'field-work');
  await cp(fixtureWorkspace, folder, { recursive: true });
  return folder;
}
