/** Text as it is compared: one width, no case, no accents, words apart by one space. */
export function normalized(text: string): string {
  return plainLetters(text)
    .toLowerCase()
    .replace(/(?<=\d)\s*[×*]\s*(?=\d)/g, 'x')
    .replace(/[\s_\-–—/·,，、:：;；!！?？()（）[\]“”"'’]+/g, ' ')
    .trim();
}

/** Text without what people leave out or put in at will: `layer norm`, `layer-norm` and `LayerNorm` are one. */
export function squeezed(normalizedText: string): string {
  return normalizedText.replace(/[ .*]/g, '') || normalizedText;
}

function plainLetters(text: string): string {
  // Most texts have nothing to replace, and normalising is slow.
  return /^[\x20-\x7e\u4e00-\u9fff，、。：；（）“”]*$/.test(text)
    ? text
    : text
        .normalize('NFKD')
        .replace(/\p{Diacritic}/gu, '')
        .normalize('NFKC');
}
