/** The colour themes that stand for VS Code's four kinds: ids as VS Code 1.137 to 1.139 write them into the settings. */
export const themes = {
  dark: { id: 'Dark Modern', label: 'Dark Modern', windowClass: 'vs-dark' },
  light: { id: 'Light Modern', label: 'Light Modern', windowClass: 'vs' },
  highContrast: { id: 'Default High Contrast', label: 'Dark High Contrast', windowClass: 'hc-black' },
  highContrastLight: { id: 'Default High Contrast Light', label: 'Light High Contrast', windowClass: 'hc-light' },
} as const;

export type ThemeName = keyof typeof themes;
