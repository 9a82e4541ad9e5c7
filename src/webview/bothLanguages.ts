import type { ArticleView } from '../protocol/articleMessages';
import { element } from './elements';

/** Lays the article and its other language beside each other, section by section, so that they stay level. */
export function besideEachOther(article: ArticleView): readonly Node[] {
  const left = partsOf(article.html);
  const right = partsOf(article.other?.html ?? '');
  return left.map((part, index) => {
    const other = right[index];
    for (const named of other?.querySelectorAll('[id]') ?? []) {
      // Anchors lead to the first language; an id stands once in a page.
      named.removeAttribute('id');
    }
    for (const section of [other, ...(other?.querySelectorAll('section') ?? [])]) {
      section?.removeAttribute('aria-labelledby');
    }
    other?.setAttribute('lang', article.other?.language === 'en' ? 'en' : 'zh-CN');
    return element('div', { class: 'pair' }, part, ...(other ? [other] : []));
  });
}

/** The header and the sections of an article. */
function partsOf(html: string): readonly Element[] {
  const holder = element('div');
  holder.innerHTML = html;
  return [...holder.children];
}
