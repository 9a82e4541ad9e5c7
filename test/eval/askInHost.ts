import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { openBrowser } from '../support/browser';
import { developmentFolder } from '../support/developmentFolder';
import { runHostTests } from '../support/hostTests';
import { root } from '../support/paths';
import { freshFolder } from '../support/runFolders';
import { VsCodeServer } from '../support/vscodeServer';
import type { Answer } from './answer';
import { askedColumn, jsonLines, type OracleRow, rowsByFile } from './oracleRow';

/** The positions of one file, on their way into the host. */
export interface FileQuestions {
  readonly file: string;
  readonly positions: readonly (readonly [line: number, column: number])[];
}

/** Asks the real extension in a real VS Code at every row; gives the answers file by file, in order. */
export async function askInHost(
  rowFiles: readonly string[],
  progress: (line: string) => void,
): Promise<AsyncGenerator<readonly (Answer | null)[]>> {
  const folder = freshFolder('evaluation');
  for (const file of rowFiles) {
    for await (const rows of rowsByFile(jsonLines<OracleRow>(file))) {
      appendFileSync(join(folder, 'questions.jsonl'), `${JSON.stringify(questionsOf(rows))}\n`);
    }
  }
  await runSuite(folder, progress);
  return jsonLines<readonly (Answer | null)[]>(join(folder, 'answers.jsonl'));
}

function questionsOf(rows: readonly OracleRow[]): FileQuestions {
  return { file: rows[0]?.file ?? '', positions: rows.map((row) => [row.line, askedColumn(row)]) };
}

async function runSuite(workspace: string, progress: (line: string) => void): Promise<void> {
  const server = await VsCodeServer.start({ progress });
  try {
    const context = await openBrowser({ progress });
    const outcome = await runHostTests({
      server,
      context,
      tests: join(root, 'test', 'eval', 'host'),
      workspace,
      extensionDevelopmentPath: developmentFolder(),
      timeoutMs: 6 * 3_600_000,
    }).finally(() => context.close());
    if (outcome.problem !== undefined || outcome.failed > 0) {
      throw new Error(outcome.problem ?? 'the host did not answer at every position');
    }
    progress(`In the host: ${JSON.stringify(outcome.figures.get('hover evaluation'))}`);
  } finally {
    await server.stop();
  }
}
