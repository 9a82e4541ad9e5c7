import { type FormulaFile, type FormulaPicture, formulaFormat } from '../core/hover/formulaPicture';

/** What we use of MathJax, which ships without types for its all-in-one package. */
interface MathJaxApi {
  readonly tex2svgPromise: (tex: string, options: { readonly display: boolean }) => Promise<unknown>;
  readonly startup: { readonly adaptor: { readonly outerHTML: (node: unknown) => string } };
}

interface MathJaxPackage {
  readonly init: (configuration: object) => Promise<MathJaxApi>;
}

/** Draws formulas with MathJax; `onError` hears of each that does not compile. */
export async function drawFormulas(
  formulas: readonly string[],
  onError: (tex: string, reason: string) => void,
): Promise<FormulaFile> {
  const { default: mathJax } = (await import('mathjax' as string)) as { readonly default: MathJaxPackage };
  const api = await mathJax.init({
    loader: { load: ['input/tex', 'output/svg'] },
    svg: { fontCache: 'local' },
  });
  const glyphs: Record<string, string> = {};
  const pictures: Record<string, FormulaPicture> = {};
  for (const tex of new Set(formulas)) {
    const html = api.startup.adaptor.outerHTML(await api.tex2svgPromise(tex, { display: true }));
    const error = /data-mjx-error="([^"]*)"/.exec(html)?.[1];
    if (error === undefined) {
      pictures[tex] = pictureOf(html, glyphs);
    } else {
      onError(tex, error);
    }
  }
  return { format: formulaFormat, glyphs, formulas: pictures };
}

/** Takes MathJax's SVG apart: glyph outlines go into the shared table, what is only for its own scripts is dropped. */
function pictureOf(html: string, glyphs: Record<string, string>): FormulaPicture {
  const viewBox = (/viewBox="([^"]+)"/.exec(html)?.[1] ?? '0 0 0 0').split(' ').map((part) => Math.round(Number(part)));
  const names: string[] = [];
  for (const [, id = '', outline = ''] of html.matchAll(/<path id="MJX-\d+-([^"]+)" d="([^"]*)"/g)) {
    glyphs[id] = outline;
    names.push(id);
  }
  const body = html
    .slice(html.indexOf('</defs>') + '</defs>'.length, html.lastIndexOf('</svg>'))
    .replace(/#MJX-\d+-/g, '#')
    .replace(/ (?:data-[\w-]+|class|aria-[\w-]+|role)="[^"]*"/g, '')
    .replace(/ (?:stroke|fill)="currentColor"/g, '')
    .replace(/<\/(?:use|path|rect)>/g, '')
    .replace(/<(use|path|rect)\b([^>]*)>/g, '<$1$2/>')
    .replace(/(\d\.\d)\d+/g, '$1');
  const [left = 0, top = 0, width = 0, height = 0] = viewBox;
  return { viewBox: [left, top, width, height], glyphs: names, body };
}
