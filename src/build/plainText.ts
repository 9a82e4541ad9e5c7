/** TeX that has a character of its own; other commands are left out, what they hold stays. */
const characters: Readonly<Record<string, string>> = {
  alpha: 'α',
  beta: 'β',
  gamma: 'γ',
  delta: 'δ',
  epsilon: 'ε',
  varepsilon: 'ε',
  zeta: 'ζ',
  eta: 'η',
  theta: 'θ',
  kappa: 'κ',
  lambda: 'λ',
  mu: 'μ',
  nu: 'ν',
  xi: 'ξ',
  pi: 'π',
  rho: 'ρ',
  sigma: 'σ',
  tau: 'τ',
  phi: 'φ',
  varphi: 'φ',
  chi: 'χ',
  psi: 'ψ',
  omega: 'ω',
  Gamma: 'Γ',
  Delta: 'Δ',
  Theta: 'Θ',
  Lambda: 'Λ',
  Sigma: 'Σ',
  Phi: 'Φ',
  Psi: 'Ψ',
  Omega: 'Ω',
  sum: '∑',
  prod: '∏',
  sqrt: '√',
  cdot: '·',
  times: '×',
  odot: '⊙',
  pm: '±',
  le: '≤',
  leq: '≤',
  ge: '≥',
  geq: '≥',
  ne: '≠',
  neq: '≠',
  approx: '≈',
  in: '∈',
  to: '→',
  infty: '∞',
  partial: '∂',
  nabla: '∇',
  gg: '≫',
  ll: '≪',
  dots: '…',
  ldots: '…',
  cdots: '…',
  quad: ' ',
  qquad: ' ',
};

/** What a reader reads of an article's Markdown: no marks of links, emphasis and code; formulas in one line. */
export function plainText(markdown: string): string {
  return markdown
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/\$([^$]+)\$/g, (_, tex: string) => plainFormula(tex))
    .replace(/\*\*|`/g, '')
    .replace(/(?<![\w*])\*([^\s*][^*]*)\*(?![\w*])/g, '$1')
    .replace(/(?<=[\p{Script=Han}，。；：、）])\n(?=[\p{Script=Han}（])/gu, '')
    .replace(/\s+/g, ' ')
    .trim();
}

function plainFormula(tex: string): string {
  return tex
    .replace(/\\[td]?frac\{([^{}]*)\}\{([^{}]*)\}/g, '$1/$2')
    .replace(/\\([A-Za-z]+)/g, (_, command: string) => characters[command] ?? '')
    .replace(/\\[,;!: ]/g, ' ')
    .replace(/[{}\\]/g, '');
}
