/** Makes an element with attributes and children; a boolean attribute is present or absent. */
export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Readonly<Record<string, string | boolean>> = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'string') {
      made.setAttribute(key, value);
    } else {
      made.toggleAttribute(key, value);
    }
  }
  made.append(...children);
  return made;
}

/** A button that shows a glyph and says in words what it does. */
export function iconButton(glyph: string, label: string, onClick: () => void): HTMLButtonElement {
  const button = element('button', { type: 'button', title: label, 'aria-label': label, class: 'icon' }, glyph);
  button.addEventListener('click', onClick);
  return button;
}
