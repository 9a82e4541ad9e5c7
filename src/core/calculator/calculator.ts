import type { Localized } from '../library/language';

/** What every input of a calculator has. */
interface Described {
  readonly label: Localized;
  /** The input is shown, and read, only while another one has one of these texts. */
  readonly onlyFor?: { readonly input: string; readonly is: readonly string[] };
}

export interface IntegerInput extends Described {
  readonly kind: 'integer';
  readonly min: number;
  readonly max: number;
  readonly initial: number;
}

export interface NumberInput extends Described {
  readonly kind: 'number';
  readonly min: number;
  readonly max: number;
  /** What an arrow key adds. */
  readonly step: number;
  readonly initial: number;
  /** Whether a slider stands beside the field. */
  readonly slider?: boolean;
}

/** Numbers in one line. */
export interface ListInput extends Described {
  readonly kind: 'list';
  readonly min: number;
  readonly max: number;
  readonly length: { readonly min: number; readonly max: number };
  readonly initial: readonly number[];
}

/** Rows of numbers, one row a line; a column with a default may be left out at the end of a row. */
export interface RowsInput extends Described {
  readonly kind: 'rows';
  readonly columns: readonly RowColumn[];
  readonly maxRows: number;
  readonly initial: readonly (readonly number[])[];
}

export interface RowColumn {
  readonly label: Localized;
  readonly min: number;
  readonly max: number;
  readonly whole: boolean;
  readonly default?: number;
}

export interface ChoiceInput<Option extends string = string> extends Described {
  readonly kind: 'choice';
  readonly options: readonly { readonly id: Option; readonly label: Localized }[];
  readonly initial: Option;
}

export interface ToggleInput extends Described {
  readonly kind: 'toggle';
  readonly initial: boolean;
}

export type Input = IntegerInput | NumberInput | ListInput | RowsInput | ChoiceInput | ToggleInput;

/** Inputs by id, in the order of the form. */
export type Inputs = Readonly<Record<string, Input>>;

export type Value = number | boolean | string | readonly number[] | readonly (readonly number[])[];

type ValueOf<I> = I extends { readonly kind: 'integer' | 'number' }
  ? number
  : I extends { readonly kind: 'toggle' }
    ? boolean
    : I extends { readonly kind: 'list' }
      ? readonly number[]
      : I extends { readonly kind: 'rows' }
        ? readonly (readonly number[])[]
        : I extends { readonly options: readonly { readonly id: infer Option }[] }
          ? Option
          : never;

/** The values that a form with these inputs gives. */
export type ValuesOf<I extends Inputs> = { readonly [Id in keyof I]: ValueOf<I[Id]> };

/** One number that a calculator finds; `undefined` where the quantity is not defined for the inputs. */
export interface Result {
  readonly id: string;
  readonly label: Localized;
  readonly value: number | readonly number[] | undefined;
  readonly unit?: 'bytes' | 'percent';
  /** How the value came about, or why it is not defined. */
  readonly note?: string | Localized;
}

export interface Table {
  readonly title: Localized;
  readonly columns: readonly Localized[];
  readonly rows: readonly (readonly (string | number | Localized)[])[];
}

export interface Axis {
  readonly label: Localized;
  readonly min: number;
  readonly max: number;
}

export type Point = readonly [x: number, y: number];

export interface Series {
  readonly id: string;
  readonly label: Localized;
  readonly points: readonly Point[];
}

interface Drawn {
  readonly title: Localized;
  /** What the picture shows, as a statement: its name for a screen reader. */
  readonly finding: Localized;
}

export interface LinePlot extends Drawn {
  readonly kind: 'lines';
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
  /** Points of the curves that the results speak of. */
  readonly marks: readonly Point[];
}

export interface BarPlot extends Drawn {
  readonly kind: 'bars';
  readonly bars: readonly { readonly label: string | Localized; readonly value: number; readonly text: string }[];
  readonly max: number;
}

/** Corners of a box: left, top, right, bottom. */
export type Box = readonly [number, number, number, number];

export interface BoxPlot extends Drawn {
  readonly kind: 'boxes';
  readonly boxes: readonly {
    readonly label: string;
    readonly box: Box;
    readonly look: 'first' | 'second' | 'kept' | 'removed' | 'around';
  }[];
  readonly lines: readonly (readonly [Point, Point])[];
}

export type Plot = LinePlot | BarPlot | BoxPlot;

export interface Computed {
  readonly results: readonly Result[];
  readonly tables?: readonly Table[];
  readonly plots?: readonly Plot[];
}

/** Values that are each fine but do not fit together; the sentence stands beside the input named. */
export interface Refused {
  readonly refused: Localized;
  readonly input: string;
}

export type Outcome = Computed | Refused;

/** A small interactive tool inside an article. */
export interface Calculator {
  readonly name: string;
  readonly title: Localized;
  readonly inputs: Inputs;
  readonly calculate: (values: Readonly<Record<string, Value>>) => Outcome;
}

/** Declares a calculator; the types of the values follow from its inputs. */
export function calculator<const I extends Inputs>(parts: {
  readonly name: string;
  readonly title: Localized;
  readonly inputs: I;
  readonly calculate: (values: ValuesOf<I>) => Outcome;
}): Calculator {
  // Values are only ever made by readInputs from these very inputs.
  return { ...parts, calculate: (values) => parts.calculate(values as ValuesOf<I>) };
}

/** A text in both languages. */
export function text(en: string, chinese: string): Localized {
  return { en, 'zh-cn': chinese };
}

/** A text that is the same in both languages. */
export function same(words: string): Localized {
  return { en: words, 'zh-cn': words };
}

export function refuse(input: string, en: string, chinese: string): Refused {
  return { refused: text(en, chinese), input };
}
