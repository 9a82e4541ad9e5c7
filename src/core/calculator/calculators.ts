import { activationCurveCalculator } from './activationCurve';
import { boxOverlapCalculator } from './boxOverlap';
import type { Calculator } from './calculator';
import { confusionMatrixCalculator } from './confusionMatrix';
import { kvCacheCalculator } from './kvCache';
import { layerCostCalculator } from './layerCost';
import { learningRateScheduleCalculator } from './learningRateSchedule';
import { lossCurvesCalculator } from './lossCurves';
import { networkCostCalculator } from './networkCost';
import { nonMaximumSuppressionCalculator } from './nonMaximumSuppression';
import { numberFormatCalculator } from './numberFormat';
import { outputSizeCalculator } from './outputSize';
import { receptiveFieldCalculator } from './receptiveField';
import { recurrentParametersCalculator } from './recurrentParameters';
import { rocPrecisionRecallCalculator } from './rocPrecisionRecall';
import { softmaxTemperatureCalculator } from './softmaxTemperature';
import { transformerParametersCalculator } from './transformerParameters';

/** Every calculator an article may name. */
export const calculators: readonly Calculator[] = [
  outputSizeCalculator,
  receptiveFieldCalculator,
  layerCostCalculator,
  networkCostCalculator,
  recurrentParametersCalculator,
  transformerParametersCalculator,
  kvCacheCalculator,
  softmaxTemperatureCalculator,
  lossCurvesCalculator,
  boxOverlapCalculator,
  nonMaximumSuppressionCalculator,
  rocPrecisionRecallCalculator,
  learningRateScheduleCalculator,
  activationCurveCalculator,
  confusionMatrixCalculator,
  numberFormatCalculator,
];

export function calculatorNamed(name: string): Calculator | undefined {
  return calculators.find((calculator) => calculator.name === name);
}
