import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** Runs the Python tools in an environment of their own, made on first use and again when the requirements change. */
const root = resolve(import.meta.dirname, '..', '..', '..');
const here = join(root, 'src', 'build', 'python');
const environment = join(root, '.venv');
const python = join(environment, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');

/** Installed without its dependencies: it would ask for another build of PyTorch. */
const torchvision = 'torchvision==0.28.0';

interface Result {
  readonly code: number;
  readonly output: string;
}

async function run(command: string, args: readonly string[], quiet = false): Promise<Result> {
  return new Promise((done, failed) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (data: Buffer) => {
      output += data.toString();
      if (!quiet) {
        process.stdout.write(data);
      }
    });
    child.on('error', failed);
    child.on('close', (code) => done({ code: code ?? 1, output }));
  });
}

async function must(command: string, args: readonly string[]): Promise<void> {
  const { code, output } = await run(command, args, true).catch(() => ({ code: 1, output: '' }));
  if (code !== 0) {
    throw new Error(`${command} ${args.join(' ')} failed\n${output}`);
  }
}

async function ensureEnvironment(): Promise<void> {
  const requirements = join(here, 'requirements.txt');
  const stamp = join(environment, 'made-from');
  const wanted = createHash('sha256').update(readFileSync(requirements)).update(torchvision).digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) {
    return;
  }
  console.log('Making the Python environment in .venv (PyTorch, scikit-learn; once, a minute or more) …');
  rmSync(environment, { recursive: true, force: true });
  const system = process.platform === 'win32' ? 'python' : 'python3';
  await must(system, ['-m', 'venv', environment]).catch((error: unknown) => {
    throw new Error(
      `Python 3.11 or newer with venv is needed (on Debian: apt-get install python3-venv). ${String(error)}`,
    );
  });
  await must(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements]);
  await must(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps', torchvision]);
  writeFileSync(stamp, wanted);
}

/** A Python whose torch and torchvision were made for each other, so that compiled operators run. */
async function pythonWithOperators(): Promise<string> {
  const probe = 'import torch, torchvision; torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)';
  for (const candidate of ['/usr/bin/python3', 'python3']) {
    const { code } = await run(candidate, ['-c', probe], true).catch(() => ({ code: 1 }));
    if (code === 0) {
      return candidate;
    }
  }
  throw new Error(
    'A Python with torchvision and its compiled operators is needed (on Debian: apt-get install python3-torchvision).',
  );
}

/** One check for the form of all Python files and one for their names, counted as the tools count. */
async function formatted(ruff: (...args: readonly string[]) => Promise<Result>): Promise<Result> {
  const failed = [await ruff('format', '--check'), await ruff('check', '--quiet')].filter(
    ({ code }) => code !== 0,
  ).length;
  const output = `${2 - failed} passed, ${failed} failed`;
  console.log(failed === 0 ? output : `The Python files need \`npm run format:python\` (names above).\n${output}`);
  return { code: failed, output };
}

/** Runs one tool on the resources; with several, their counts are summed in the last line. */
async function main(mode: string | undefined, args: readonly string[]): Promise<number> {
  const tool = (name: string, ...more: readonly string[]) => run(python, [join(here, name), 'resources', ...more]);
  const callFacts = (...more: readonly string[]) =>
    run(python, [join(here, 'call_facts.py'), 'test/fixtures/call-facts.json', ...more]);
  const calculatorFacts = (...more: readonly string[]) =>
    run(python, [join(here, 'calculator_facts.py'), 'test/fixtures/calculator-facts.json', ...more]);
  const ruff = (...more: readonly string[]) =>
    run(python, ['-m', 'ruff', ...more, '--no-cache', '--config', join(here, 'ruff.toml'), here, 'resources']);
  if (mode === 'compiled') {
    return (await run(await pythonWithOperators(), [join(here, 'check_compiled.py'), 'resources'])).code;
  }
  await ensureEnvironment();
  switch (mode) {
    case 'mutate':
      return (await tool('mutate_checks.py', ...args)).code;
    case 'facts':
      return (await tool('read_facts.py')).code || (await callFacts()).code || (await calculatorFacts()).code;
    case 'figures':
      return (await tool('draw_figures.py', ...args)).code;
    case 'format': {
      const names = await ruff('check', '--quiet', '--fix');
      return (await ruff('format', '--quiet')).code || names.code;
    }
    case 'check': {
      const results = [await tool('check_notes.py', ...args)];
      if (args.length === 0) {
        results.push(
          await tool('read_facts.py', '--check'),
          await callFacts('--check'),
          await calculatorFacts('--check'),
          await formatted(ruff),
        );
      }
      const counts = results.map(({ output }) => /(\d+) passed, (\d+) failed\s*$/.exec(output));
      const sum = (group: number) => counts.reduce((total, count) => total + Number(count?.[group] ?? 0), 0);
      const broken = counts.filter((count) => count === null).length;
      console.log(`${sum(1)} passed, ${sum(2) + broken} failed`);
      return results.some(({ code }) => code !== 0) || broken > 0 ? 1 : 0;
    }
    default:
      console.error('usage: check [TOPIC …] | compiled | mutate | facts | figures [TOPIC …] | format');
      return 2;
  }
}

main(process.argv[2], process.argv.slice(3)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  },
);
