import { rm } from 'node:fs/promises';
import { npm } from './childProcess';
import { packagedExtension, root } from './paths';

/** Builds and packages the extension and returns the file. */
export async function packageExtension(): Promise<string> {
  // A package left by an earlier run must neither be taken for this one nor packed into it.
  await rm(packagedExtension, { force: true });
  await npmScript('package');
  return packagedExtension;
}

/** Runs a script of package.json and says nothing unless it fails. */
export async function npmScript(script: string): Promise<void> {
  const { code, output } = await npm(['run', script, '--silent'], { cwd: root });
  if (code !== 0) throw new Error(`${output}\nnpm run ${script} failed with exit code ${code}`);
}
