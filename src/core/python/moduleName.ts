/** The name by which Python imports a file: `torch.nn.modules.linear`; a package is its `__init__.py`. */
export interface ModuleName {
  readonly name: string;
  readonly isPackage: boolean;
}

/**
 * The absolute path that a relative import reaches. Where the module's own name is not known the dots stay: no library has
 * a path that begins with one.
 */
export function absolutePath(path: string, module: ModuleName | undefined): string {
  const dots = /^\.*/.exec(path)?.[0].length ?? 0;
  if (dots === 0 || !module) {
    return path;
  }
  const parts = module.name.split('.');
  const kept = parts.length - dots + (module.isPackage ? 1 : 0);
  return kept > 0 ? [...parts.slice(0, kept), path.slice(dots)].join('.') : path;
}

/** `from module import name` as one path; `from . import name` has no dot more between them. */
export function importedPath(module: string, name: string): string {
  return module.endsWith('.') ? module + name : `${module}.${name}`;
}
