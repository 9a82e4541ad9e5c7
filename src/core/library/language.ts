/** The languages every text of the field guide exists in. Ids never depend on them. */
export const languages = ['en', 'zh-cn'] as const;

export type Language = (typeof languages)[number];

/** A text in every language. */
export type Localized = Readonly<Record<Language, string>>;

export function isLanguage(value: unknown): value is Language {
  return languages.some((language) => language === value);
}

/** The language that suits a locale such as `zh-TW` or `de`: Chinese for every Chinese locale, else English. */
export function languageOfLocale(locale: string): Language {
  return locale.toLowerCase().startsWith('zh') ? 'zh-cn' : 'en';
}
