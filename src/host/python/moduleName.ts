import * as vscode from 'vscode';
import type { SymbolTable } from '../../core/library/symbolTable';
import type { ModuleName } from '../../core/python/moduleName';

/**
 * The name by which Python imports a file that belongs to one of the libraries that the cards are about; packages are the folders
 * with an `__init__.py`. Nothing is read of files that lie in no folder of such a name.
 */
export async function moduleNameOf(uri: vscode.Uri, table: SymbolTable): Promise<ModuleName | undefined> {
  const [file = '', ...folders] = uri.path.split('/').reverse();
  const libraries = file.endsWith('.py') ? librariesOf(table) : new Set<string>();
  if (!folders.some((folder) => libraries.has(folder))) {
    return undefined;
  }
  const isPackage = file === '__init__.py';
  const names = isPackage ? [] : [file.slice(0, -'.py'.length)];
  for (const [depth, folder] of folders.entries()) {
    if (!(await exists(vscode.Uri.joinPath(uri, ...Array<string>(depth + 1).fill('..'), '__init__.py')))) {
      break;
    }
    names.unshift(folder);
  }
  return libraries.has(names[0] ?? '') ? { name: names.join('.'), isPackage } : undefined;
}

const known = new WeakMap<SymbolTable, ReadonlySet<string>>();

/** Python's own modules are left out: their facts come with no library, and a folder of such a name is somebody's own. */
function librariesOf(table: SymbolTable): ReadonlySet<string> {
  let libraries = known.get(table);
  if (!libraries) {
    const symbols = table.file.cards.flatMap((card) => card.symbols).filter((symbol) => !table.facts(symbol));
    const roots = symbols.map((symbol) => symbol.split('.')[0] ?? '');
    libraries = new Set([...Object.keys(table.file.versions), ...roots]);
    known.set(table, libraries);
  }
  return libraries;
}

async function exists(uri: vscode.Uri): Promise<boolean> {
  return vscode.workspace.fs.stat(uri).then(
    () => true,
    () => false,
  );
}
