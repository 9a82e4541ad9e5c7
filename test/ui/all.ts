import { join } from 'node:path';
import { testFilesIn } from '../support/nodeTests';

/**
 * Loads every test of this folder into one process, so that they share a server and a browser. The web host's test is
 * left to a run of its own.
 */
for (const file of testFilesIn(join(import.meta.dirname))) {
  if (!file.endsWith('webHost.test.ts')) require(file);
}
