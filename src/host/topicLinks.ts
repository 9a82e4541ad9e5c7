import * as vscode from 'vscode';
import type { ArticleReader } from './article/articleReader';
import type { SearchPick } from './search/searchPick';

/** The link that leads to a topic from outside, or to a heading of its article. */
export function topicUri(topic: string, anchor?: string): string {
  const heading = anchor === undefined ? '' : `#${anchor}`;
  return `${vscode.env.uriScheme}://ml-field-notes.ml-field-notes/topic/${topic}${heading}`;
}

/** Opens `vscode://ml-field-notes.ml-field-notes/topic/<id>#<heading>`; other addresses lead to the search. */
export function registerTopicLinks(reader: ArticleReader, search: SearchPick): vscode.Disposable {
  return vscode.window.registerUriHandler({
    handleUri: async (uri) => {
      const id = /^\/topic\/([\w-]+)$/.exec(uri.path)?.[1] ?? '';
      if (id !== '') {
        await reader.open(id, { anchor: uri.fragment || undefined });
      } else {
        search.show();
      }
    },
  });
}
