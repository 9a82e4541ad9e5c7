import * as vscode from 'vscode';
import { libraryFormat, NoteLibrary } from './core/library/noteLibrary';
import { ArticlePage } from './host/article/articlePage';
import { ArticleReader } from './host/article/articleReader';
import { Articles } from './host/article/articles';
import { registerTopicCommands } from './host/commands/topicCommands';
import { HoverProvider } from './host/hover/hoverProvider';
import { LookupTool, registerLookupTool } from './host/languageModel/lookupTool';
import { Logger } from './host/logger';
import { SavedView } from './host/marks/savedView';
import { TopicMarks } from './host/marks/topicMarks';
import { NoteFiles } from './host/noteFiles';
import { PythonDocuments } from './host/python/pythonDocuments';
import { RecentTopics } from './host/search/recentTopics';
import { SearchPick } from './host/search/searchPick';
import { TopicFinder } from './host/search/topicFinder';
import { Settings } from './host/settings';
import { Sidebar } from './host/sidebar/sidebar';
import { registerTopicLinks } from './host/topicLinks';
import { UsageView } from './host/usage/usageView';

/** What other code in the host may ask of the extension; the hover evaluation does. */
export interface ExtensionApi {
  readonly meaningAt: PythonDocuments['meaningAt'];
}

/** Composition root: begins to read the index and wires library → sidebar, search, hover, article; waits for nothing. */
export function activate(context: vscode.ExtensionContext): ExtensionApi {
  const logger = new Logger();
  context.subscriptions.push(logger);
  const settings = new Settings();
  const files = new NoteFiles(context.extensionUri);
  const index = files.index().catch((error: unknown) => {
    logger.tell(
      vscode.l10n.t('ML Field Notes could not read its contents. Reinstall the extension to mend it.'),
      error,
    );
    // Hovers need no index, and the commands answer with what there is.
    return { format: libraryFormat, categories: [], topics: [] } as const;
  });
  const library = new NoteLibrary(index);
  const finder = new TopicFinder(library, files);
  const recent = new RecentTopics(context.globalState, library);
  const marks = new TopicMarks(context.globalState);
  const sidebar = new Sidebar(library, settings, marks, context.globalState, async (query) =>
    (await finder.find(query)).map(({ topic }) => topic),
  );
  const articles = new Articles(library, files, finder);
  const reader = new ArticleReader(
    settings,
    {
      extension: context.extensionUri,
      library,
      articles,
      page: new ArticlePage(context.extensionUri),
      settings,
      marks,
      logger,
    },
    (topic) => {
      recent.add(topic);
      sidebar.reveal(topic);
    },
  );
  const documents = new PythonDocuments(files);
  const hover = new HoverProvider(library, files, documents, settings, logger);
  const usage = new UsageView(library, documents, settings, logger);
  const search = new SearchPick({
    library,
    finder,
    recent,
    marks,
    settings,
    logger,
    topicsOfActiveFile: () => usage.topics(),
    open: (topic, options) => void reader.open(topic, options),
  });
  context.subscriptions.push(
    sidebar,
    usage,
    marks,
    new SavedView(library, marks, settings),
    reader,
    hover,
    documents,
    registerTopicCommands({ library, reader, search, hover, settings, marks, recent }),
    registerTopicLinks(reader, search),
    registerLookupTool(new LookupTool(library, files, finder, settings)),
  );
  return { meaningAt: (document, position, token) => documents.meaningAt(document, position, token) };
}
