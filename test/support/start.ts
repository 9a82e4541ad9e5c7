import { spawn } from 'node:child_process';
import { developmentFolder } from './developmentFolder';
import { npmScript } from './packaging';
import { fixtureWorkspace } from './paths';
import { VsCodeServer } from './vscodeServer';

/** `npm start`: the extension from this folder in a real VS Code, opened in the browser, until Ctrl-C. */
async function main(): Promise<void> {
  const print = (line: string) => console.log(line);
  const ended = interrupted();
  print('Building the extension …');
  await npmScript('build');
  const server = await VsCodeServer.start({ progress: print });
  const url = server.url({
    folder: process.argv[2] ?? fixtureWorkspace,
    extensionDevelopmentPath: developmentFolder(),
  });
  print(`\nVS Code with ML Field Notes is at\n\n  ${url}\n\nPress Ctrl-C to end it.`);
  openInBrowser(url);
  await ended;
  print('\nEnding …');
  await server.stop();
}

async function interrupted(): Promise<void> {
  await new Promise<void>((resolve) => {
    // Ctrl-C may arrive twice, from the terminal and from npm: the second must not cut the ending short.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve());
  });
}

/** Opens a window where there is a display. Failing that is no failure: the address stands above. */
function openInBrowser(url: string): void {
  const { DISPLAY, WAYLAND_DISPLAY, BROWSER } = process.env;
  const command = openCommand(BROWSER, DISPLAY ?? WAYLAND_DISPLAY);
  if (command === undefined) return;
  const [program, ...args] = [...command, url];
  const child = spawn(program, args, { stdio: 'ignore', detached: true, shell: false });
  child.on('error', () => console.log('No browser could be opened; open the address yourself.'));
  child.unref();
}

function openCommand(browser: string | undefined, display: string | undefined): [string, ...string[]] | undefined {
  if (browser === 'none') return undefined;
  switch (process.platform) {
    case 'darwin':
      return ['open'];
    case 'win32':
      return ['rundll32', 'url.dll,FileProtocolHandler'];
    default:
      return display === undefined ? undefined : ['xdg-open'];
  }
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  },
);
