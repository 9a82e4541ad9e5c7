import type { Position } from '../protocol/articleState';

/** Space that the toolbar covers above the text, in CSS pixels. */
function covered(): number {
  return document.querySelector('#top-bar')?.getBoundingClientRect().height ?? 0;
}

function anchors(): readonly HTMLElement[] {
  return [...document.querySelectorAll<HTMLElement>('#article [id]:is(h1, h2, h3, details)')];
}

/** A heading this near to the top of the window is the one being read, in CSS pixels; less than from a section to its first part. */
const near = 32;

/** The heading at or above the top of the window, and how far the text is scrolled beyond it. */
export function currentPosition(): Position {
  const line = covered() + near;
  const passed = anchors().findLast((anchor) => anchor.getBoundingClientRect().top <= line);
  return passed
    ? { anchor: passed.id, offset: Math.round(covered() - passed.getBoundingClientRect().top) }
    : { anchor: 'top', offset: Math.round(window.scrollY) };
}

/** Scrolls to a heading; an anchor that is not there (another language, another version) leads to its section, or to the top. */
export function scrollTo({ anchor, offset }: Position): void {
  const target = document.getElementById(anchor) ?? document.getElementById(anchor.replace(/-\d+$/, ''));
  if (!target || anchor === 'top') {
    window.scrollTo({ top: anchor === 'top' ? Math.max(0, offset) : 0 });
    return;
  }
  for (let parent = target.closest('details'); parent; parent = parent.parentElement?.closest('details') ?? null) {
    parent.open = true;
  }
  const top = target.getBoundingClientRect().top + window.scrollY - covered();
  window.scrollTo({ top: top + offset });
}

/** Ids of the folded parts that are open. */
export function openedParts(): readonly string[] {
  return [...document.querySelectorAll<HTMLDetailsElement>('#article details[open]')].map((part) => part.id);
}

export function openParts(ids: readonly string[]): void {
  for (const id of ids) {
    const part = document.getElementById(id);
    if (part instanceof HTMLDetailsElement) {
      part.open = true;
    }
  }
}
