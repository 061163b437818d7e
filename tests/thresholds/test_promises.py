"""What goals promise, compared with what samples give that the thresholds were not chosen on."""

import numpy as np
import pytest
from synthetic_records import records_of

from branchynet.thresholds import ExitCosts, parse_goal, promise

# Ten samples. At T = 0.45 samples 0 to 4 leave early, and sample 4 is spoilt; the last exit errs on sample 9 only.
SCORES = np.stack([np.arange(10) / 10, np.zeros(10)])
RECORDS = records_of(SCORES, [np.arange(10) < 4, np.arange(10) < 9])
COSTS = {unit: ExitCosts([1, 2], unit) for unit in ("ms", "multiply-adds")}


def promise_of(text, thresholds=(0.45,), records=RECORDS, n_validation=40):
    goal = parse_goal(text)
    return goal.promise_on(records, COSTS[goal.unit or "ms"], thresholds, n_validation)


@pytest.mark.parametrize(
    ("form", "at_the_limit", "just_missed", "relation", "value"),
    [
        ("latency<={}ms", 1.5, 1.4999, "<=", 1.5),
        ("budget<={}ms", 1.5, 1.4999, "<=", 1.5),
        ("multiply-adds<={}", 1.5, 1.4999, "<=", 1.5),
        ("budget<={}multiply-adds", 1.5, 1.4999, "<=", 1.5),
        ("accuracy>={}%", 80, 80.01, ">=", 80),
        ("accuracy>=last-{}%", 10, 9.99, ">=", -10),
        ("risk<={}%@95%", 10, 9.99, "<=", 10),
        ("expected-risk<={}%", 10, 9.99, "<=", 10),
        ("bin-accuracy>={}%", 80, 80.01, ">=", 80),
        # 5 of 10 leave. Two standard errors of 10 and of 40 samples, sqrt(s (1 - s) / 2), are 0.5 - s at s = 0.2113.
        ("quantile={}", 0.2114, 0.2112, "=", 50),
        ("quantile={}", 0.7886, 0.7888, "=", 50),
    ],
)
def test_a_promise_is_met_up_to_its_limit_and_not_beyond(form, at_the_limit, just_missed, relation, value):
    met, missed = promise_of(form.format(at_the_limit)), promise_of(form.format(just_missed))
    assert (met["met"], missed["met"]) == (True, False)
    assert met["relation"] == relation and met["value"] == missed["value"] == pytest.approx(value)
    assert abs(met["limit"]) == pytest.approx(100 * at_the_limit if relation == "=" else at_the_limit)


@pytest.mark.parametrize(("relation", "sign"), [("<=", 1), (">=", -1)])
@pytest.mark.parametrize("limit", [0.0, 0.05, 3e5, 1e12])
def test_what_rounding_may_add_does_not_break_a_promise(relation, sign, limit):
    rounding = 1e-9 * max(1.0, limit)
    assert promise("cost", relation, limit, limit + sign * 0.9 * rounding)["met"] is True
    assert promise("cost", relation, limit, limit + sign * 1.1 * rounding)["met"] is False
    assert promise("cost", relation, limit, limit - sign)["met"] is True


def test_of_several_exits_the_one_that_keeps_the_promise_worst_counts():
    scores = [[0, 0, 1, 1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 0, 1, 1], [0] * 10]
    records = records_of(scores, [np.arange(10) > 0, np.arange(10) < 7, np.ones(10)])
    # Exit 1: 2 of 10 leave, 1 of them right. Exit 2: 6 of 8 leave, 5 of them right.
    assert promise_of("bin-accuracy>=50%", (0.5, 0.5), records)["value"] == pytest.approx(50)
    assert promise_of("quantile=0.3", (0.5, 0.5), records)["value"] == pytest.approx(75)
    assert promise_of("quantile=0.7", (0.5, 0.5), records)["value"] == pytest.approx(20)


def test_an_exit_where_all_who_reach_it_leave_counts():
    assert promise_of("quantile=0.9", (9.0,))["value"] == pytest.approx(100)
    assert promise_of("quantile=1", (9.0,))["met"] is True


@pytest.mark.parametrize(
    ("goal", "thresholds"), [("bin-accuracy>=10%", (0,)), ("knee", (0.45,)), ("exits=50", (0.45,))]
)
def test_where_nobody_leaves_early_or_nothing_is_promised_there_is_no_promise(goal, thresholds):
    assert promise_of(goal, thresholds) is None
