/** The one way into the analysis of Python; the bundle makes a chunk of it, since it holds the parser. */
export { MeaningFinder } from './meaning';
export { parsePython } from './syntax/parse';
