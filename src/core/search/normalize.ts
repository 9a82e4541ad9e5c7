/** Text as it is compared: one width, no case, no accents, words apart by one space. */
export function normalized(text: string): string {
  return text
    .normalize('NFKD')
    .replace(/\p{Diacritic}/gu, '')
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[\s_\-–—/·,，、:：()（）]+/g, ' ')
    .trim();
}

/** Text without what people leave out or put in at will: `layer norm`, `layer-norm` and `LayerNorm` are one. */
export function squeezed(normalizedText: string): string {
  return normalizedText.replace(/[ .]/g, '');
}
