import * as vscode from 'vscode';

/** The Python text that a document is understood by: a file is its own, a notebook cell is read with all its notebook's cells. */
export interface PythonSource {
  readonly key: string;
  readonly text: string;
  readonly parts: readonly SourcePart[];
}

/** A document and where it stands in the source. */
export interface SourcePart {
  readonly document: vscode.TextDocument;
  readonly start: number;
  readonly end: number;
}

export function pythonSourceOf(document: vscode.TextDocument): PythonSource {
  const notebook = notebookOf(document);
  if (!notebook) {
    const text = document.getText();
    return { key: document.uri.toString(), text, parts: [{ document, start: 0, end: text.length }] };
  }
  let text = '';
  const parts: SourcePart[] = [];
  for (const { document: cell } of notebook.getCells()) {
    if (cell.languageId === 'python') {
      const start = text.length;
      text += withoutMagics(cell.getText());
      parts.push({ document: cell, start, end: text.length });
      text += '\n';
    }
  }
  return { key: notebook.uri.toString(), text, parts };
}

function notebookOf(document: vscode.TextDocument): vscode.NotebookDocument | undefined {
  return vscode.workspace.notebookDocuments.find((notebook) =>
    notebook.getCells().some((cell) => cell.document === document),
  );
}

/** Magics and shell lines (`%matplotlib inline`, `!pip install`) become blanks of the same length. */
function withoutMagics(text: string): string {
  if (/^\s*%%(?!time|capture|prun)/.test(text)) {
    return text.replace(/[^\n]/g, ' ');
  }
  return text.replace(/^[ \t]*[%!?].*$/gm, (line) => ' '.repeat(line.length));
}
