import type { Language } from '../library/language';

/** The sections of an article in their fixed order, with every heading that names them. */
export const sections = [
  { id: 'in-one-line', en: ['In one line'], 'zh-cn': ['一句话'] },
  { id: 'intuition', en: ['Intuition'], 'zh-cn': ['直觉'] },
  { id: 'formula', en: ['Formula'], 'zh-cn': ['公式'] },
  { id: 'by-hand', en: ['By hand'], 'zh-cn': ['手算一遍'] },
  {
    id: 'code',
    en: ['In PyTorch', 'In scikit-learn', 'In Python', 'In C++'],
    'zh-cn': ['PyTorch 代码', 'scikit-learn 代码', 'Python 代码', 'C++ 代码'],
  },
  { id: 'try-it', en: ['Try it'], 'zh-cn': ['动手试试'] },
  { id: 'pitfalls', en: ['Pitfalls'], 'zh-cn': ['常见陷阱'] },
  { id: 'when-to-use', en: ['When to use it'], 'zh-cn': ['何时使用'] },
  { id: 'questions', en: ['Questions'], 'zh-cn': ['面试题'] },
  { id: 'references', en: ['References'], 'zh-cn': ['参考资料'] },
  { id: 'related', en: ['See also'], 'zh-cn': ['相关主题'] },
] as const satisfies readonly ({ readonly id: string } & Readonly<Record<Language, readonly string[]>>)[];

export type SectionId = (typeof sections)[number]['id'];

/** The section a heading names in a language; anchors are section ids, so they survive a switch of language. */
export function sectionOfHeading(heading: string, language: Language): SectionId | undefined {
  return sections.find((section) => (section[language] as readonly string[]).includes(heading.trim()))?.id;
}

/** The usual heading of a section. */
export function headingOf(id: SectionId, language: Language): string {
  return sections.find((section) => section.id === id)?.[language][0] ?? id;
}
