/** A formula drawn at build time: no colour, and its glyphs only by name. */
export interface FormulaPicture {
  /** Thousandths of an em. */
  readonly viewBox: readonly [left: number, top: number, width: number, height: number];
  readonly glyphs: readonly string[];
  /** SVG below `<defs>`. */
  readonly body: string;
}

/** What `dist/formulas.json` holds; read on the first hover that shows a formula. */
export interface FormulaFile {
  readonly format: typeof formulaFormat;
  /** Outlines by glyph name, shared by all formulas: three quarters of a picture are glyphs. */
  readonly glyphs: Readonly<Record<string, string>>;
  /** Pictures by TeX. */
  readonly formulas: Readonly<Record<string, FormulaPicture>>;
}

export const formulaFormat = 1;

export interface FormulaImage {
  readonly svg: string;
  /** CSS pixels. */
  readonly width: number;
  readonly height: number;
}

/** Composes the SVG of a formula in a colour; `em` is the size of its letters in CSS pixels. */
export function formulaImage(file: FormulaFile, tex: string, colour: string, em: number): FormulaImage | undefined {
  const picture = Object.hasOwn(file.formulas, tex) ? file.formulas[tex] : undefined;
  if (!picture) {
    return undefined;
  }
  const [, , width, height] = picture.viewBox;
  const size = { width: Math.ceil((width * em) / 1000), height: Math.ceil((height * em) / 1000) };
  const glyphs = picture.glyphs.map((name) => `<path id="${name}" d="${file.glyphs[name] ?? ''}"/>`).join('');
  return {
    ...size,
    svg:
      `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${size.width}" height="${size.height}" ` +
      `viewBox="${picture.viewBox.join(' ')}" fill="${colour}" stroke="${colour}" stroke-width="0"><defs>${glyphs}</defs>${picture.body}</svg>`,
  };
}
