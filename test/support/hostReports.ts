import { type HostReport, reportMark } from './hostSuite';

/** Gathers what a suite inside an extension host reports through the lines of its console. */
export class HostReports {
  readonly #reports: HostReport[] = [];
  readonly #noise: string[] = [];

  /** Takes a piece of console output and returns the reports found in it. */
  take(text: string): readonly HostReport[] {
    const found = text.split('\n').flatMap((line) => this.#takeLine(line));
    this.#reports.push(...found);
    return found;
  }

  #takeLine(line: string): readonly HostReport[] {
    const at = line.indexOf(reportMark);
    if (at < 0) {
      // The workbench's own code is one minified file: frames in it tell nothing.
      if (line.trim() !== '' && !line.includes('workbench.js:')) this.#noise.push(line);
      return [];
    }
    return [JSON.parse(line.slice(at + reportMark.length).trim()) as HostReport];
  }

  count(kind: HostReport['kind']): number {
    return this.#reports.filter((report) => report.kind === kind).length;
  }

  get figures(): ReadonlyMap<string, unknown> {
    return new Map(
      this.#reports.flatMap((report) => (report.kind === 'figures' ? [[report.name, report.figures]] : [])),
    );
  }

  /** The last lines that were no reports: what the host said before a crash. */
  get lastWords(): string {
    return this.#noise.slice(-30).join('\n');
  }
}

/** A report as a line for people, or nothing for those that are data. */
export function describeReport(report: HostReport): string | undefined {
  switch (report.kind) {
    case 'passed':
      return `  ✔ ${report.name} (${report.ms} ms)`;
    case 'failed':
      return `  ✖ ${report.name} (${report.ms} ms)\n${report.error.replace(/^/gm, '      ')}`;
    case 'figures':
    case 'ended':
      return undefined;
  }
}
