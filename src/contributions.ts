/** Every id that package.json contributes; `test/unit/contributions.test.ts` holds the two against each other. */

export const commands = {
  searchTopics: 'mlFieldNotes.searchTopics',
  openTopic: 'mlFieldNotes.openTopic',
  openTopicBeside: 'mlFieldNotes.openTopicBeside',
  copyTopicLink: 'mlFieldNotes.copyTopicLink',
  explainSymbol: 'mlFieldNotes.explainSymbol',
  switchLanguage: 'mlFieldNotes.switchLanguage',
  filterTopics: 'mlFieldNotes.filterTopics',
  clearTopicFilter: 'mlFieldNotes.clearTopicFilter',
  sortTopics: 'mlFieldNotes.sortTopics',
  goBack: 'mlFieldNotes.goBack',
  goForward: 'mlFieldNotes.goForward',
  showBothLanguages: 'mlFieldNotes.showBothLanguages',
  saveTopic: 'mlFieldNotes.saveTopic',
  unsaveTopic: 'mlFieldNotes.unsaveTopic',
  markTopicRead: 'mlFieldNotes.markTopicRead',
  markTopicUnread: 'mlFieldNotes.markTopicUnread',
  continueReading: 'mlFieldNotes.continueReading',
  exportArticle: 'mlFieldNotes.exportArticle',
  zoomIn: 'mlFieldNotes.zoomIn',
  zoomOut: 'mlFieldNotes.zoomOut',
  resetZoom: 'mlFieldNotes.resetZoom',
  switchArticleLanguage: 'mlFieldNotes.switchArticleLanguage',
} as const;

export type CommandId = (typeof commands)[keyof typeof commands];

export const views = {
  container: 'mlFieldNotes',
  topics: 'mlFieldNotes.topics',
  usage: 'mlFieldNotes.usage',
  saved: 'mlFieldNotes.saved',
} as const;

export const articleViewType = 'mlFieldNotes.article';

export const settingsSection = 'mlFieldNotes';

export const settings = {
  language: 'mlFieldNotes.language',
  hoverMode: 'mlFieldNotes.hover.mode',
  hoverFormula: 'mlFieldNotes.hover.formula',
  hoverShapes: 'mlFieldNotes.hover.shapes',
  hoverFacts: 'mlFieldNotes.hover.facts',
  hoverTrap: 'mlFieldNotes.hover.trap',
  hoverLinks: 'mlFieldNotes.hover.links',
  fontSize: 'mlFieldNotes.article.fontSize',
  width: 'mlFieldNotes.article.width',
  reusePanel: 'mlFieldNotes.article.reusePanel',
} as const;

/** Context keys that `when` clauses of package.json read. */
export const contextKeys = {
  topicsFiltered: 'mlFieldNotes.topicsFiltered',
} as const;

/** Tools that assistants may call. */
export const languageModelTools = {
  lookupTopic: 'mlFieldNotes_lookup_topic',
} as const;

/** Keys of the extension's own stored state. */
export const stateKeys = {
  recentTopics: 'recentTopics',
  savedTopics: 'savedTopics',
  readTopics: 'readTopics',
  topicOrder: 'topicOrder',
} as const;
