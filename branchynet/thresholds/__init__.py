"""Who leaves where, and thresholds that find themselves: the exit rule, exit records, T from a goal.

    records = record_exits(net, validation_x, validation_labels)
    outcomes = records.evaluate([[0.1], [0.5]])  # what two settings of T give
    choice = choose_thresholds(records, ExitCosts(mean_ms_of_each_exit, "ms"), "latency<=0.05ms")

The goals are functions in `selecting`, `sharing`, `risk` and `reliability`; docs/thresholds.md lists them. A goal of
one's own is one function, too: `register_goal`. The room knows no network, no engine and no clock: costs come in as
numbers.
"""

from branchynet.thresholds import reliability, risk, selecting, sharing  # they register their goals
from branchynet.thresholds.choose import Choice, choose_thresholds
from branchynet.thresholds.front import KNEE_RULE, front, knee
from branchynet.thresholds.goals import ExitCosts, Found, Goal, Problem, parse_goal, promise, register_goal
from branchynet.thresholds.records import ExitRecords, Outcomes
from branchynet.thresholds.rule import PercentExits, Thresholds, as_exit_rule, assign_exits
from branchynet.thresholds.sharing import thresholds_for_shares
