import type { Language } from '../library/language';
import type { Topic } from '../library/topic';
import { escapeHtml } from './highlight';

const words = {
  en: {
    title: 'No such topic',
    reason: (id: string) =>
      `There is no topic “${id}” in this version of ML Field Notes. The link may be mistyped or made for another version.`,
    similar: 'Perhaps you mean',
    search: 'Search all topics',
  },
  'zh-cn': {
    title: '没有这个主题',
    reason: (id: string) => `此版本的 ML Field Notes 中没有主题“${id}”。链接可能有误，或来自其他版本。`,
    similar: '您要找的可能是',
    search: '搜索所有主题',
  },
} as const;

/** The page that a link to an unknown topic leads to: what is wrong, topics with a similar name, and the way to the search. */
export function renderMissingTopic(id: string, similar: readonly Topic[], language: Language) {
  const said = words[language];
  const links = similar.map(
    (topic) => `<li><a href="#" data-topic="${topic.id}">${escapeHtml(topic.title[language])}</a></li>`,
  );
  const html = [
    `<header><h1 id="top" tabindex="-1">${said.title}</h1></header>`,
    `<p>${escapeHtml(said.reason(id))}</p>`,
    links.length > 0
      ? `<h2 id="similar" tabindex="-1">${said.similar}</h2><ul class="related">${links.join('')}</ul>`
      : '',
    `<p><a href="#" data-search>${said.search}</a></p>`,
  ].join('\n');
  return { title: said.title, html };
}
