// Second half of the build: bundles the host (for Node in chunks, for the web in one file), the article page's client and its assets.
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import esbuild from 'esbuild';

const production = process.argv.includes('--production');
const watch = process.argv.includes('--watch');

/** Modules that are loaded on first use: on Node each is a file of its own, so that activation does not read it. */
const chunks = {
  '/core/article/renderArticle': 'article',
  '/core/calculator/staticCalculators': 'calculators',
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

/** On Node the extension's own files come from the disk, not through the window. */
const filesOfNode = {
  name: 'files-of-node',
  setup(build) {
    build.onResolve({ filter: /\/shippedFile$/ }, () => ({ path: resolve('src/host/shippedFile.node.ts') }));
  },
};

/**
 * `import * as vscode` in a bundle copies the whole interface for every module that says so, 26 times 400 properties before
 * anything runs. Here all of them share the object that VS Code hands out.
 */
const oneInterface = {
  name: 'one-interface',
  setup(build) {
    build.onLoad({ filter: /[\\/]src[\\/](?:host[\\/].*|extension)\.ts$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replace(
        "import * as vscode from 'vscode';",
        "import vscode from 'shared-vscode';",
      ),
      loader: 'ts',
    }));
    build.onResolve({ filter: /^shared-vscode$/ }, () => ({ path: 'vscode', namespace: 'shared-vscode' }));
    build.onLoad({ filter: /.*/, namespace: 'shared-vscode' }, () => ({
      contents: "export default require('vscode');",
    }));
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

/** One of our style sheets. */
async function styles(name) {
  const text = readFileSync(`media/${name}.css`, 'utf8');
  return (await esbuild.transform(text, { loader: 'css', minify: production })).code;
}

const targets = [
  {
    ...shared,
    entryPoints: { extension: 'src/extension.ts' },
    outdir: 'dist',
    format: 'cjs',
    platform: 'node',
    external: ['vscode'],
    plugins: [chunkImports, filesOfNode, oneInterface],
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
    plugins: [oneInterface],
  },
  {
    ...shared,
    entryPoints: { article: 'src/webview/main.ts' },
    outdir: 'dist/webview',
    format: 'iife',
    platform: 'browser',
    tsconfig: 'src/webview/tsconfig.json',
  },
  // Loaded by a page with the first article that has a calculator, together with their styles.
  {
    ...shared,
    entryPoints: { calculators: 'src/webview/calculator/mountCalculators.ts' },
    outdir: 'dist/webview',
    format: 'esm',
    platform: 'browser',
    tsconfig: 'src/webview/tsconfig.json',
    define: { ...shared.define, calculatorStyles: JSON.stringify(await styles('calculator')) },
  },
];

/** Fonts that nearly every formula needs: within the style sheet, a page has them at once. */
const innerFonts = ['KaTeX_Main-Regular', 'KaTeX_Math-Italic', 'KaTeX_Size1-Regular', 'KaTeX_Size2-Regular'];

/** The page's style sheet: KaTeX's, with only the fonts that a browser of VS Code loads, and our own. */
async function writeStyles() {
  const require = createRequire(createRequire(import.meta.url).resolve('markdown-it-katex'));
  const source = dirname(require.resolve('katex/dist/katex.min.css'));
  const target = 'dist/webview';
  mkdirSync(join(target, 'fonts'), { recursive: true });
  for (const font of readdirSync(join(source, 'fonts')).filter((name) => name.endsWith('.woff2'))) {
    cpSync(join(source, 'fonts', font), join(target, 'fonts', font));
  }
  const formulas = readFileSync(join(source, 'katex.min.css'), 'utf8')
    .replace(/,url\([^)]*\.(?:woff|ttf)\) format\("(?:woff|truetype)"\)/g, '')
    .replace(/url\(fonts\/([\w-]+)\.woff2\)/g, (whole, font) =>
      innerFonts.includes(font)
        ? `url(data:font/woff2;base64,${readFileSync(join(source, 'fonts', `${font}.woff2`)).toString('base64')})`
        : whole,
    );
  writeFileSync(join(target, 'article.css'), `${formulas}\n${await styles('article')}`);
  // For pages on their own; in VS Code the calculators bring it along.
  writeFileSync(join(target, 'calculators.css'), await styles('calculator'));
}

await writeStyles();
if (watch) {
  const contexts = await Promise.all(targets.map((target) => esbuild.context({ ...target, logLevel: 'info' })));
  await Promise.all(contexts.map((context) => context.watch()));
} else {
  await Promise.all(targets.map((target) => esbuild.build(target)));
}
