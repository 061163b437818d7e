"""Who leaves where, and thresholds that find themselves: the exit rule, exit records, T from a goal.

    records = record_exits(net, validation_x, validation_labels)
    outcomes = records.evaluate([[0.1], [0.5]])  # what two settings of T give
    choice = choose_thresholds(records, ExitCosts(mean_ms_of_each_exit, "ms"), "latency<=0.05ms")

| goal | T is |
|---|---|
| ``knee`` | the fastest setting within one standard error of the most accurate one |
| ``quantile=0.5``, ``exits=60,30`` | where so many of the samples that reach an early exit leave there |
| ``latency<=0.05ms``, ``multiply-adds<=300000`` | the most accurate setting within the budget |
| ``budget<=0.05ms``, ``budget<=300000multiply-adds`` | MSDNet's exit distribution within the budget |
| ``accuracy>=last-0.3%``, ``accuracy>=99.2%`` | the cheapest setting that is so accurate on the validation samples |
| ``risk<=0.5%@95%`` | the cheapest setting that loses so little against the last exit, with 95 % confidence |
| ``expected-risk<=0.5%`` | the loosest setting that loses so little on average |
| ``bin-accuracy>=99%`` | where answers with as much confidence are that accurate |

A goal of one's own is one function: `register_goal`. The room knows no network, no engine and no clock: costs come in
as numbers.
"""

from branchynet.thresholds import reliability, risk, selecting, sharing  # they register their goals
from branchynet.thresholds.choose import Choice, choose_thresholds
from branchynet.thresholds.front import KNEE_RULE, front, knee
from branchynet.thresholds.goals import ExitCosts, Found, Goal, Problem, parse_goal, promise, register_goal
from branchynet.thresholds.records import ExitRecords, Outcomes
from branchynet.thresholds.rule import PercentExits, Thresholds, as_exit_rule, assign_exits
from branchynet.thresholds.sharing import thresholds_for_shares
