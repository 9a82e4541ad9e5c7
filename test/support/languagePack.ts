import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export type DisplayLanguage = 'en' | 'zh-cn';

/**
 * Makes the display language of a server available without the language pack of the marketplace. A server takes the
 * language from `User/argv.json`, but falls back to English unless `languagepacks.json` names a pack for it. A pack without
 * translations is enough: the workbench keeps its English words, and extensions get `vscode.env.language`, their
 * `package.nls.*.json` and their l10n bundle in the language asked for.
 */
export async function writeLanguagePack(language: DisplayLanguage, userData: string): Promise<void> {
  await mkdir(join(userData, 'User'), { recursive: true });
  await writeFile(join(userData, 'User', 'argv.json'), JSON.stringify({ locale: language }));
  if (language === 'en') return;
  const translations = join(userData, `translations.${language}.json`);
  await writeFile(translations, JSON.stringify({ contents: {} }));
  const pack = {
    hash: createHash('sha256').update(language).digest('hex').slice(0, 32),
    extensions: [{ extensionIdentifier: { id: `local.${language}` }, version: '1.0.0' }],
    translations: { vscode: translations },
    label: language,
  };
  await writeFile(join(userData, 'languagepacks.json'), JSON.stringify({ [language]: pack }));
}
