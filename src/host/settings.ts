import * as vscode from 'vscode';
import { settings, settingsSection } from '../contributions';
import type { HoverOptions } from '../core/hover/hoverContent';
import { isLanguage, type Language, languageOfLocale } from '../core/library/language';
import type { Appearance } from '../protocol/articleMessages';

/** The user's settings, read when asked: VS Code keeps them, we never do. */
export class Settings {
  get language(): Language {
    const chosen = read<string>(settings.language, 'auto');
    return isLanguage(chosen) ? chosen : languageOfLocale(vscode.env.language);
  }

  get hover(): HoverOptions {
    const mode = read<string>(settings.hoverMode, 'full');
    return {
      mode: mode === 'off' || mode === 'compact' ? mode : 'full',
      formula: read(settings.hoverFormula, true),
      shapes: read(settings.hoverShapes, true),
      facts: read(settings.hoverFacts, true),
      trap: read(settings.hoverTrap, true),
      links: read(settings.hoverLinks, true),
    };
  }

  get appearance(): Appearance {
    return { fontSize: read(settings.fontSize, 0), width: read(settings.width, 46) };
  }

  async setFontSize(pixels: number): Promise<void> {
    await vscode.workspace.getConfiguration().update(settings.fontSize, pixels, vscode.ConfigurationTarget.Global);
  }

  onDidChangeAppearance(listener: () => void): vscode.Disposable {
    return vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration(settings.fontSize) || event.affectsConfiguration(settings.width)) {
        listener();
      }
    });
  }

  get reusePanel(): boolean {
    return read(settings.reusePanel, true);
  }

  /** Stores the other language for all windows. */
  async setLanguage(language: Language): Promise<void> {
    await vscode.workspace.getConfiguration().update(settings.language, language, vscode.ConfigurationTarget.Global);
  }

  onDidChangeLanguage(listener: () => void): vscode.Disposable {
    return vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration(settings.language)) {
        listener();
      }
    });
  }

  onDidChange(listener: () => void): vscode.Disposable {
    return vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration(settingsSection)) {
        listener();
      }
    });
  }
}

function read<T>(id: string, fallback: T): T {
  return vscode.workspace.getConfiguration().get<T>(id) ?? fallback;
}
