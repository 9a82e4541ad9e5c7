import { join } from 'node:path';
import { type Installation, installOnce, type Progress } from './install';

const codeServer = 'node_modules/code-server/lib/vscode';

/** The npm package `code-server` carries an unchanged VS Code server; VS Code 1.139 needs a Node 24 to run it. */
const installation: Installation = {
  name: 'server-4.139.1',
  title: 'VS Code 1.139 (server)',
  steps: [
    // Without install scripts no compiler is needed; the server says which native modules it lacks and does without.
    { into: 'code', args: ['--ignore-scripts', 'code-server@4.139.1'] },
    { into: join('code', codeServer), args: ['--ignore-scripts', '--omit=dev', '--legacy-peer-deps'] },
    // This one is only its script: it puts the binary of the platform in place.
    { into: 'node', args: ['--ignore-scripts=false', 'node@24'] },
  ],
};

export interface ServerProgram {
  readonly node: string;
  readonly main: string;
}

/** Makes sure that the VS Code server is there and says how to start it. */
export async function installServer(progress: Progress): Promise<ServerProgram> {
  const folder = await installOnce(installation, progress);
  return {
    node: join(folder, 'node/node_modules/node/bin', process.platform === 'win32' ? 'node.exe' : 'node'),
    main: join(folder, 'code', codeServer, 'out/server-main.js'),
  };
}
