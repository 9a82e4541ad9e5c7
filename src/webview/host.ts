import type { FromPage, ToPage } from '../protocol/articleMessages';
import { type ArticleState, parseArticleState } from '../protocol/articleState';

interface VsCodeApi {
  readonly postMessage: (message: FromPage) => void;
  readonly getState: () => unknown;
  readonly setState: (state: ArticleState) => void;
}

declare function acquireVsCodeApi(): VsCodeApi;

const api = acquireVsCodeApi();

export function tellHost(message: FromPage): void {
  api.postMessage(message);
}

/** Keeps the state for a reload of the window. */
export function keepState(state: ArticleState): void {
  api.setState(state);
}

export function keptState(): ArticleState | undefined {
  return parseArticleState(api.getState());
}

export function onHostMessage(listener: (message: ToPage) => void): void {
  window.addEventListener('message', (event: MessageEvent<ToPage>) => listener(event.data));
}
