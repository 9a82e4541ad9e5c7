import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';

export interface Finished {
  readonly code: number;
  readonly output: string;
}

/** Runs a command to its end and collects both streams; `echo` shows them as they come too. */
export async function run(
  command: string,
  args: readonly string[],
  options: SpawnOptions & { readonly echo?: boolean } = {},
): Promise<Finished> {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  const chunks: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      if (options.echo) process.stdout.write(chunk);
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  return { code: code ?? 1, output: Buffer.concat(chunks).toString('utf8') };
}

/** What a VS Code around this process hands down (its terminal, its extension host) would confuse another one. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(VSCODE_|ELECTRON_|NODE_OPTIONS$|npm_)/.test(name));
  return Object.fromEntries(kept);
}

/** Runs npm, by the same program that started this script where npm did. */
export function npm(args: readonly string[], options: SpawnOptions & { readonly echo?: boolean } = {}) {
  const { npm_execpath: script } = process.env;
  return script?.endsWith('.js')
    ? run(process.execPath, [script, ...args], options)
    : run('npm', args, { ...options, shell: process.platform === 'win32' });
}

const groups = new Set<ChildProcess>();

/**
 * Starts a command as the leader of a process group, so that `stopGroup` reaches everything it starts in turn. A group
 * does not outlive this process, however that ends.
 */
export function spawnGroup(command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
  if (groups.size === 0) endGroupsWithUs();
  const child = spawn(command, args, { ...options, detached: process.platform !== 'win32' });
  groups.add(child);
  return child;
}

function endGroupsWithUs(): void {
  process.on('exit', () => {
    for (const child of groups) signalGroup(child, 'SIGKILL');
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // Without a listener a signal ends Node at once, without the event above.
    if (process.listenerCount(signal) === 0) process.on(signal, () => process.exit(1));
  }
}

/** Ends a process group: politely, and after a grace period by force. Resolves when its leader is gone. */
export async function stopGroup(child: ChildProcess, graceMs = 3000): Promise<void> {
  groups.delete(child);
  if (child.exitCode !== null || child.signalCode !== null) return signalGroup(child, 'SIGKILL');
  const closed = once(child, 'exit');
  signalGroup(child, 'SIGTERM');
  const force = setTimeout(() => signalGroup(child, 'SIGKILL'), graceMs);
  await closed;
  clearTimeout(force);
  signalGroup(child, 'SIGKILL');
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    if (process.platform === 'win32') spawn('taskkill', ['/pid', String(child.pid), '/t', '/f']);
    else process.kill(-child.pid, signal);
  } catch {
    // The group has ended already.
  }
}
