import MarkdownIt, { type Token } from 'markdown-it';
import katexPlugin from 'markdown-it-katex';
import { parseCalculatorFence } from '../calculator/calculatorFence';
import { escapeHtml, highlighted } from './highlight';

/** What a piece of Markdown may refer to while it is rendered. */
export interface MarkdownEnvironment {
  /** SVG text of a figure by file name. */
  readonly figures: ReadonlyMap<string, string>;
  /** Whether a topic id exists; a link to an unknown one is shown as text. */
  readonly hasTopic: (id: string) => boolean;
}

export type Markdown = ReturnType<typeof MarkdownIt>;

/** Limits that keep a formula from running away or reaching out: a broken one is shown as its source. */
const katexOptions = {
  throwOnError: false,
  strict: 'ignore',
  trust: false,
  maxSize: 20,
  maxExpand: 200,
} as const;

/**
 * The Markdown of articles: CommonMark and tables, no HTML, KaTeX formulas, code with its tokens marked, figures inlined as SVG so
 * that they follow the theme, and links that the page hands to the host. Made anew for each article: KaTeX keeps macros.
 */
export function createMarkdown(environment: MarkdownEnvironment): Markdown {
  const markdown = new MarkdownIt({ html: false, linkify: false, typographer: false });
  markdown.use(katexPlugin, { ...katexOptions, macros: {} });
  markdown.core.ruler.push('figure', (state) => unwrapFigures(state.tokens));
  markdown.core.ruler.push('table-heads', (state) => dropEmptyHeads(state.tokens));
  markdown.renderer.rules.fence = (tokens, index) => fence(tokens[index]);
  markdown.renderer.rules.link_open = (tokens, index) =>
    linkOpening(String(tokens[index]?.attrGet('href') ?? ''), environment);
  markdown.renderer.rules.image = (tokens, index) => figure(tokens[index], environment);
  markdown.renderer.rules.softbreak = (tokens, index) => softBreak(tokens, index);
  markdown.renderer.rules.table_open = () => '<div class="table"><table>';
  markdown.renderer.rules.table_close = () => '</table></div>';
  return markdown;
}

/** A line of the source may end anywhere: between two Chinese characters or marks it stands for nothing, else for a space. */
function softBreak(tokens: readonly Token[], index: number): string {
  const before = textBeside(tokens, index, -1).at(-1) ?? '';
  const after = textBeside(tokens, index, 1).at(0) ?? '';
  return isWide(before) && isWide(after) ? '' : '\n';
}

/** The text next to a token; marks such as the end of an emphasis are passed over. */
function textBeside(tokens: readonly Token[], index: number, step: 1 | -1): string {
  for (let at = index + step; at >= 0 && at < tokens.length; at += step) {
    const token = tokens[at];
    if (token?.type !== 'text' || token.content !== '') {
      if (token?.nesting === 0) {
        return token.type === 'text' ? token.content : '';
      }
    }
  }
  return '';
}

function isWide(character: string): boolean {
  return /[\p{Script=Han}\u3000-\u303f\uff00-\uffef“”‘’…—]/u.test(character);
}

/** A figure stands alone in its paragraph and must not be rendered inside `<p>`. */
function unwrapFigures(tokens: readonly Token[]): void {
  tokens.forEach((token, index) => {
    const [opening, closing] = [tokens[index - 1], tokens[index + 1]];
    const isFigure = token.type === 'inline' && token.children?.length === 1 && token.children[0]?.type === 'image';
    if (isFigure && opening?.type === 'paragraph_open' && closing?.type === 'paragraph_close') {
      opening.hidden = true;
      closing.hidden = true;
    }
  });
}

/** A facts table has no heads at all, a comparison none over its first column: an empty head would be read out as one. */
function dropEmptyHeads(tokens: Token[]): void {
  const isHead = (token: Token | undefined) => token?.type === 'th_open' || token?.type === 'th_close';
  tokens.forEach((token, index) => {
    if (token.type === 'th_open' && tokens[index + 1]?.content.trim() === '') {
      for (const part of [token, tokens[index + 2]]) {
        if (part && isHead(part)) {
          part.tag = 'td';
        }
      }
    }
    if (token.type === 'thead_open') {
      const end = tokens.findIndex((later, at) => at > index && later.type === 'thead_close');
      const head = tokens.slice(index, end + 1);
      if (head.every((part) => part.type !== 'inline' || part.content.trim() === '')) {
        for (const part of head) {
          part.hidden = true;
        }
      }
    }
  });
}

function fence(token: Token | undefined): string {
  const kind = token?.info.trim().split(/\s+/)[0] ?? '';
  const content = token?.content ?? '';
  if (kind === 'output') {
    return `<pre class="output"><code>${escapeHtml(content)}</code></pre>\n`;
  }
  if (kind === 'calculator') {
    return calculatorPlace(content);
  }
  return `<div class="code"><pre tabindex="0"><code class="hljs" data-language="${escapeHtml(kind)}">${highlighted(content, kind)}</code></pre></div>\n`;
}

/** The place that the page fills with a calculator. */
function calculatorPlace(content: string): string {
  const { name, preset } = parseCalculatorFence(content);
  const inputs = Object.keys(preset).length > 0 ? ` data-preset="${escapeHtml(JSON.stringify(preset))}"` : '';
  return `<div class="calculator" data-calculator="${escapeHtml(name)}"${inputs}></div>\n`;
}

/** Links to topics look like `topic:adam` or `topic:adam#formula`; everything else opens outside, when the reader asks. */
function linkOpening(target: string, environment: MarkdownEnvironment): string {
  const topic = /^topic:([\w-]+)(?:#([\w-]+))?$/.exec(target);
  if (!topic) {
    return `<a href="${escapeHtml(target)}" data-external>`;
  }
  const [, id = '', anchor] = topic;
  return environment.hasTopic(id)
    ? `<a href="#" data-topic="${id}"${anchor ? ` data-anchor="${anchor}"` : ''}>`
    : '<a class="missing">';
}

function figure(token: Token | undefined, environment: MarkdownEnvironment): string {
  const file = String(token?.attrGet('src') ?? '');
  const caption = escapeHtml(token?.content ?? '');
  const svg = environment.figures.get(file);
  return svg === undefined
    ? `<span class="missing-figure">${caption}</span>`
    : `<figure><div aria-hidden="true">${svg}</div><figcaption>${caption}</figcaption></figure>`;
}
