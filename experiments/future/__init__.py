"""The study of the paper's future work: measures of confidence and ways to choose T, against each other on one net.

Logits of all exits are recorded once (`Recorded`). A `Study` adds measures that are ready for use and what each exit
costs with them; the comparisons ask it. All are held against one *reference setting*: entropy, with T at the knee of
the authors' grid, chosen on validation samples. Test labels choose nothing, they are only reported on.
"""

from future.calibration import reliability
from future.combination import best_combination, time_against_reference
from future.curves import mix_at_accuracy, mix_at_cost
from future.fitting import best_settings, fit_measures, try_settings
from future.goals import compare_goals
from future.measures import compare_measures
from future.recorded import Recorded, difference
from future.study import REFERENCE_MEASURE, Study
from future.unknown import compare_on_unknown
