import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { suite, test } from 'node:test';

/** Which layer may import which; `src/extension.ts` wires them and `src/contributions.ts` holds ids for the host. */
const allowedLayers: Readonly<Record<string, readonly string[]>> = {
  core: ['core'],
  protocol: ['protocol', 'core'],
  host: ['host', 'protocol', 'core', 'contributions.ts'],
  webview: ['webview', 'protocol', 'core'],
  build: ['build', 'core'],
  'extension.ts': ['host', 'core'],
  'contributions.ts': [],
};

/** Packages and built-ins that a layer may use; a trailing `*` matches a prefix. */
const allowedPackages: Readonly<Record<string, readonly string[]>> = {
  core: ['markdown-it', 'markdown-it-katex', 'highlight.js*', 'fuse.js', '@lezer/common', '@lezer/python'],
  protocol: [],
  host: ['vscode', 'node:fs/promises', 'node:path'],
  webview: [],
  build: ['node:*', 'yaml', 'zod', 'katex', 'mathjax', 'pinyin-pro'],
  'extension.ts': ['vscode'],
  'contributions.ts': [],
};

/** Packages that only one folder or file may know, so that each can be replaced in one place. */
const soleOwners: Readonly<Record<string, string>> = {
  '@lezer/python': 'core/python/syntax/parse.ts',
  'fuse.js': 'core/search/topicSearch.ts',
  'markdown-it': 'core/article/',
  '@lezer/common': 'core/python/',
};

interface Import {
  readonly file: string;
  readonly specifier: string;
}

function sourceFiles(folder: string): readonly string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? sourceFiles(path) : /\.ts$/.test(name) ? [path] : [];
  });
}

function importsOf(file: string): readonly Import[] {
  const text = readFileSync(file, 'utf8');
  const pattern = /(?:\bfrom\s+|\bimport\s*\(\s*|^import\s+|\brequire\s*\(\s*)(['"])([^'"]+)\1/gm;
  return [...text.matchAll(pattern)].map((match) => ({ file, specifier: match[2] ?? '' }));
}

const layerOf = (path: string) => relative('src', path).split(sep)[0] ?? '';

/** What breaks the table, as sentences. */
export function violations(imports: readonly Import[]): readonly string[] {
  return imports.flatMap(({ file, specifier }) => {
    const layer = layerOf(file);
    const place = relative('src', file).split(sep).join('/');
    if (specifier.startsWith('.')) {
      const target = join(dirname(file), specifier);
      const resolved = existsSync(`${target}.ts`) ? `${target}.ts` : target;
      return (allowedLayers[layer] ?? []).includes(layerOf(resolved)) ? [] : [`${place} must not import ${specifier}`];
    }
    const isAllowed = (allowedPackages[layer] ?? []).some((allowed) =>
      allowed.endsWith('*') ? specifier.startsWith(allowed.slice(0, -1)) : specifier === allowed,
    );
    const owner = soleOwners[specifier];
    return isAllowed && (owner === undefined || place.startsWith(owner))
      ? []
      : [`${place} must not import ${specifier}`];
  });
}

suite('architecture', () => {
  test('every import of src goes the one way', () => {
    const imports = sourceFiles('src').flatMap(importsOf);
    assert.ok(imports.length > 100, `only ${imports.length} imports were read`);
    assert.deepEqual(violations(imports), []);
  });

  test('all of the host but the reading of its files runs where there is no Node', () => {
    const ofNode = sourceFiles('src/host')
      .flatMap(importsOf)
      .filter(({ specifier }) => specifier.startsWith('node:'));
    assert.deepEqual([...new Set(ofNode.map(({ file }) => file))], [join('src', 'host', 'shippedFile.node.ts')]);
  });

  test('the table forbids what it is there to forbid', () => {
    const forbidden: readonly Import[] = [
      { file: 'src/core/hover/x.ts', specifier: 'vscode' },
      { file: 'src/core/hover/x.ts', specifier: 'node:fs' },
      { file: 'src/core/hover/x.ts', specifier: '../../host/logger' },
      { file: 'src/webview/x.ts', specifier: '../host/logger' },
      { file: 'src/host/x.ts', specifier: '../webview/host' },
      { file: 'src/host/x.ts', specifier: 'fuse.js' },
      { file: 'src/protocol/x.ts', specifier: '../webview/host' },
      { file: 'src/core/search/other.ts', specifier: '@lezer/python' },
    ];
    assert.equal(violations(forbidden).length, forbidden.length);
  });
});
