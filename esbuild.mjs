// Second half of the build: bundles the host (for Node in chunks, for the web in one file), the article page's client and its assets.
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import esbuild from 'esbuild';

const production = process.argv.includes('--production');
const watch = process.argv.includes('--watch');

/** Modules that are loaded on first use: on Node each is a file of its own, so that activation does not read it. */
const chunks = {
  '/core/article/renderArticle': 'article',
  '/core/python/analysis': 'python',
  '/core/search/search': 'search',
};

/** Leaves the dynamic imports of chunks in place and points them at the files that they become. */
const chunkImports = {
  name: 'chunk-imports',
  setup(build) {
    build.onResolve({ filter: /^\.{1,2}\// }, ({ path, kind }) => {
      const chunk = Object.keys(chunks).find((module) => path.endsWith(module));
      return kind === 'dynamic-import' && chunk ? { path: `./chunks/${chunks[chunk]}.js`, external: true } : undefined;
    });
  },
};

const shared = {
  bundle: true,
  minify: production,
  sourcemap: production ? false : 'linked',
  target: 'es2022',
  logLevel: 'warning',
  legalComments: 'none',
  define: { 'process.env.NODE_ENV': '"production"' },
};

const targets = [
  {
    ...shared,
    entryPoints: { extension: 'src/extension.ts' },
    outdir: 'dist',
    format: 'cjs',
    platform: 'node',
    external: ['vscode'],
    plugins: [chunkImports],
  },
  {
    ...shared,
    entryPoints: Object.fromEntries(Object.entries(chunks).map(([module, name]) => [name, `src${module}.ts`])),
    outdir: 'dist/chunks',
    format: 'cjs',
    platform: 'node',
  },
  // The web worker host loads a single file; what is imported dynamically is in it, but is evaluated on first use only.
  {
    ...shared,
    entryPoints: { extension: 'src/extension.ts' },
    outdir: 'dist/web',
    format: 'cjs',
    platform: 'browser',
    external: ['vscode'],
  },
  {
    ...shared,
    entryPoints: { article: 'src/webview/main.ts' },
    outdir: 'dist/webview',
    format: 'iife',
    platform: 'browser',
    tsconfig: 'src/webview/tsconfig.json',
  },
];

/** KaTeX's style sheet with only the fonts that a browser of VS Code loads. */
function copyKatex() {
  const require = createRequire(createRequire(import.meta.url).resolve('markdown-it-katex'));
  const source = dirname(require.resolve('katex/dist/katex.min.css'));
  const target = 'dist/webview/katex';
  mkdirSync(join(target, 'fonts'), { recursive: true });
  const css = readFileSync(join(source, 'katex.min.css'), 'utf8');
  writeFileSync(
    join(target, 'katex.min.css'),
    css.replace(/,url\([^)]*\.(?:woff|ttf)\) format\("(?:woff|truetype)"\)/g, ''),
  );
  for (const font of readdirSync(join(source, 'fonts')).filter((name) => name.endsWith('.woff2'))) {
    cpSync(join(source, 'fonts', font), join(target, 'fonts', font));
  }
}

copyKatex();
if (watch) {
  const contexts = await Promise.all(targets.map((target) => esbuild.context({ ...target, logLevel: 'info' })));
  await Promise.all(contexts.map((context) => context.watch()));
} else {
  await Promise.all(targets.map((target) => esbuild.build(target)));
}
