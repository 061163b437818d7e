"""Thresholds that find themselves: T from a goal, on validation samples.

    costs = ExitCosts(mean_ms_of_each_exit, "ms")
    choice = choose_thresholds(record_exits(net, validation_x, validation_labels), costs, "latency<=0.05ms")

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

A goal of one's own is one function: `register_goal`.
"""

from branchynet.choosers import reliability, risk, selecting, sharing  # noqa: F401  (they register their goals)
from branchynet.choosers.choose import Choice, choose_thresholds
from branchynet.choosers.goals import ExitCosts, Found, Goal, Problem, parse_goal, register_goal
from branchynet.choosers.settings import Settings, evaluate_settings
from branchynet.choosers.sharing import thresholds_for_shares

__all__ = [
    "Choice",
    "ExitCosts",
    "Found",
    "Goal",
    "Problem",
    "Settings",
    "choose_thresholds",
    "evaluate_settings",
    "parse_goal",
    "register_goal",
    "thresholds_for_shares",
]
