import { existsSync } from 'node:fs';
import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { cleanEnvironment, run } from './childProcess';
import { freshFolder } from './runFolders';
import { installServer, type ServerProgram } from './serverInstallation';

/** Where a VS Code server keeps what it has: its switches and the folders they name. */
export interface DataFolders {
  readonly user: string;
  readonly server: string;
  readonly extensions: string;
}

export function dataFolders(data: string): DataFolders {
  return { user: join(data, 'user'), server: join(data, 'server'), extensions: join(data, 'extensions') };
}

export function dataSwitches(folders: DataFolders): readonly string[] {
  const { user, server, extensions } = folders;
  return ['--user-data-dir', user, '--server-data-dir', server, '--extensions-dir', extensions];
}

/** Installs a packaged extension as VS Code does it for a user who picks a .vsix file. */
export async function installExtension(program: ServerProgram, folders: DataFolders, vsix: string): Promise<void> {
  const args = [program.main, ...dataSwitches(folders), '--install-extension', vsix, '--force'];
  const { code, output } = await run(program.node, args, { env: cleanEnvironment() });
  if (code !== 0 || !/successfully installed/i.test(output)) {
    // Before this line the server only says which native modules it does without.
    const reason = output.slice(Math.max(output.indexOf('Installing extensions'), 0));
    throw new Error(`VS Code did not install ${vsix} (exit code ${code}):\n${reason}`);
  }
}

/** Installs an unpacked extension: copies it and enters it into the list that VS Code takes for the truth. */
export async function installFolder(folders: DataFolders, source: string): Promise<void> {
  const { publisher, name, version } = JSON.parse(await readFile(join(source, 'package.json'), 'utf8')) as Manifest;
  const relativeLocation = `${publisher}.${name}-${version}`;
  const path = join(folders.extensions, relativeLocation);
  await cp(source, path, { recursive: true });
  const list = join(folders.extensions, 'extensions.json');
  const entries = existsSync(list) ? (JSON.parse(await readFile(list, 'utf8')) as readonly object[]) : [];
  const location = { $mid: 1, path: pathToFileURL(path).pathname, scheme: 'file' };
  const entry = { identifier: { id: `${publisher}.${name}` }, version, location, relativeLocation };
  await writeFile(list, JSON.stringify([...entries, entry]));
}

interface Manifest {
  readonly publisher: string;
  readonly name: string;
  readonly version: string;
}

/** Unpacks a packaged extension and returns its folder: exactly the files that users get. */
export async function unpackExtension(vsix: string): Promise<string> {
  const folders = dataFolders(freshFolder('unpacked'));
  await installExtension(await installServer(() => undefined), folders, vsix);
  const entries = await readdir(folders.extensions, { withFileTypes: true });
  const folder = entries.find((entry) => entry.isDirectory());
  if (folder === undefined) throw new Error(`Nothing was unpacked from ${vsix}`);
  return join(folders.extensions, folder.name);
}
