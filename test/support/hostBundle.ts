import { readdirSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { cache, root } from './paths';

/** Bundles the `*.test.ts` files of a folder into one module with the `run()` that `extensionTestsPath` asks for. */
export async function bundleHostTests(folder: string): Promise<string> {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.test.ts'));
  const imports = files.sort().map((name) => `import ${JSON.stringify(`./${name.replaceAll('\\', '/')}`)};`);
  const runner = join(root, 'test', 'support', 'hostSuite').replaceAll('\\', '/');
  const outFolder = join(cache, 'host-suite');
  const outfile = join(outFolder, `${folder.replaceAll(/[^a-z]+/gi, '-')}.cjs`);
  await rm(outfile, { force: true });
  await mkdir(outFolder, { recursive: true });
  await build({
    stdin: {
      contents: [...imports, `export { runDeclaredTests as run } from ${JSON.stringify(runner)};`].join('\n'),
      resolveDir: folder,
      loader: 'ts',
    },
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    external: ['vscode'],
    sourcemap: 'inline',
    logLevel: 'warning',
  });
  return outfile;
}
