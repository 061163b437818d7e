"""Measures of confidence and ways to choose T against each other, on one trained network.

Logits of all exits are recorded once (`Recorded`); a `Study` adds measures that are ready for use and what each exit
costs with them; the comparisons ask it. Test labels are only reported on.
"""

from branchynet.evaluation.calibration import expected_calibration_error, reliability_bins
from branchynet.evaluation.combination import best_combination, time_against_papers_way
from branchynet.evaluation.curves import mix_at_accuracy, mix_at_cost
from branchynet.evaluation.fitting import Fitted, best_settings, fit_measures, try_settings
from branchynet.evaluation.goals import compare_goals, promise_on_test
from branchynet.evaluation.measures import compare_measures, curve_on_test, reliability
from branchynet.evaluation.recorded import Recorded, difference, right_at
from branchynet.evaluation.study import PAPERS_MEASURE, Study, outcome, outcomes
from branchynet.evaluation.unknown import compare_on_unknown

__all__ = [
    "PAPERS_MEASURE",
    "Fitted",
    "Recorded",
    "Study",
    "best_combination",
    "best_settings",
    "compare_goals",
    "compare_measures",
    "compare_on_unknown",
    "difference",
    "expected_calibration_error",
    "fit_measures",
    "mix_at_accuracy",
    "mix_at_cost",
    "outcome",
    "outcomes",
    "promise_on_test",
    "reliability",
    "reliability_bins",
    "right_at",
    "curve_on_test",
    "time_against_papers_way",
    "try_settings",
]
