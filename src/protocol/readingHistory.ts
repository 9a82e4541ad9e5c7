import type { RawInputs } from '../core/calculator/readInputs';
import type { Language } from '../core/library/language';
import { type ArticleState, articleStateVersion, type Place, type Position, top } from './articleState';

/** How many stops a panel remembers in each direction. */
const depth = 50;

/** The state of a panel that opens a topic for the first time. */
export function startReading(topic: string, language: Language, position: Position = top): ArticleState {
  return {
    version: articleStateVersion,
    language,
    place: { topic, ...position },
    back: [],
    forward: [],
    both: false,
    opened: [],
    calculators: {},
  };
}

/** Goes on to another place; the one that is left can be gone back to. */
export function goTo(state: ArticleState, topic: string, position: Position = top): ArticleState {
  const back = [...state.back, state.place].slice(-depth);
  return { ...state, place: { topic, ...position }, back, forward: [], opened: [] };
}

export function goBack(state: ArticleState): ArticleState | undefined {
  const place = state.back.at(-1);
  return (
    place && { ...state, place, back: state.back.slice(0, -1), forward: [state.place, ...state.forward], opened: [] }
  );
}

export function goForward(state: ArticleState): ArticleState | undefined {
  const [place, ...forward] = state.forward;
  return place && { ...state, place, back: [...state.back, state.place], forward, opened: [] };
}

/** The reader moved within the article that is shown; late news about an article that is gone changes nothing. */
export function moved(state: ArticleState, topic: string, position: Position, opened: readonly string[]): ArticleState {
  return topic === state.place.topic ? { ...state, place: { topic, ...position }, opened } : state;
}

/** What a reader changed in a calculator stays with the topic, so that going back finds it. */
export function calculated(state: ArticleState, topic: string, calculator: string, inputs: RawInputs): ArticleState {
  const { [topic]: before = {}, ...others } = state.calculators;
  const { [calculator]: _, ...rest } = before;
  const changes = Object.keys(inputs).length > 0 ? { ...rest, [calculator]: inputs } : rest;
  return { ...state, calculators: Object.keys(changes).length > 0 ? { ...others, [topic]: changes } : others };
}

/** The same heading in the other language; how far below it the text was says nothing there. */
export function switchLanguage(state: ArticleState, language: Language): ArticleState {
  const place: Place = { ...state.place, offset: 0 };
  return { ...state, language, place };
}

/** Puts the languages beside each other, or one alone again, at the same heading. */
export function toggleBoth(state: ArticleState): ArticleState {
  return { ...state, both: !state.both, place: { ...state.place, offset: 0 } };
}
