"""From a trained net to the figures of its record: what each exit gives and costs, the sweep, the choice of T."""

import contextlib
import itertools

import numpy as np

from branchynet.bench import paths
from branchynet.bench.timing import latency_summary
from branchynet.errors import ThresholdError
from branchynet.experiment import operating, processes
from branchynet.experiment.recorded import record_by_measure, shown_logits
from branchynet.machine import terminal, threads
from branchynet.thresholds import ExitCosts, ExitRecords, as_exit_rule, choose_thresholds, front, knee, parse_goal

N_RESAMPLES = 100
# Of the test samples. The mean time of an exit needs no more; the settings of T that matter are timed on all of them.
_N_FOR_COSTS = 2_500


def analyse(net, plain_net, splits, transform, request, paper=None):
    """Evaluates, times and chooses.

    T is chosen on the validation samples and reported on the test samples; the choice on the test samples themselves,
    as the paper made it, is given beside it and called so.

    Args:
        net: a trained `BranchyNet`.
        plain_net: a `BranchyNet` whose plain network was trained as long, to be compared with.
        splits: `branchynet.datasets.Splits`.
        transform: images uint8 -> float32.
        request: `Request`: what T is chosen for, or given, and how times are taken.
        paper: the paper's row of this network, as of `branchynet.records.load_published`; None if there is none.

    Raises:
        ThresholdError: nothing serves the goal.

    Returns:
        (results, exit records, timed). Results: "plain_chainer_ms" and "plain_ms", latency summaries of the two
        baselines, and the keys "engine", "exits", "points", "chosen", "choice", "measured" and "operating_points" of
        `branchynet.records`; "plain_accuracy_pct" of the plain network (test). Exit records of the test samples are
        those of `branchynet.experiment.recorded.record_by_measure`, for the pictures and the report. What was timed, to
        be kept: {name: array of `PathCosts`; settings: (K, n_exits - 1); images: (n,) indices of the test samples}.
    """
    with threads.limited(threads.usable_cores()):  # results are those of one thread, which only times need
        x, validation, by_measure, plain_right = _recorded(net, plain_net, splits, transform)
    test, contenders = by_measure["entropy"], paths.Contenders.of(net, request.engine)
    order = np.random.default_rng(request.seed).permutation(len(splits.test))
    shuffled = x[order]
    with terminal.elapsing("timing each exit", request.budget_s):
        costs = paths.path_costs(contenders, shuffled[:_N_FOR_COSTS], request.budget_s)

    n_early, grid = net.n_exits - 1, request.network.threshold_grid
    settings = np.array(list(itertools.product(grid, repeat=n_early))).reshape(-1, n_early)
    choice, chosen = _choose(validation, test, settings, request, costs, contenders.compiled.plan)
    if chosen is None:  # not on the grid: one more setting
        chosen, settings = len(settings), np.concatenate([settings, [choice["thresholds"]]])
    on_test = _points(test, "test", settings, costs)
    best_on_test = on_test[knee(*_times_and_accuracies(on_test), len(test.labels))]
    end_to_end_ms = costs.end_to_end_ms.mean(axis=1)
    asked = operating.settings_asked_for(validation, plain_right["validation"], ExitCosts(end_to_end_ms, "ms"), paper)
    wanted = [tuple(choice["thresholds"]), *asked.values()]
    settings_timed = [thresholds for thresholds in wanted if thresholds is not None]
    timed = paths.measure(contenders, shuffled, settings_timed, request.budget_s, processes.timer(request))
    measured, *others = _described(test, plain_right["test"], wanted, settings_timed, timed)
    results = {
        "engine": contenders.compiled.engine,
        "plain_chainer_ms": latency_summary(costs.plain_chainer_ms),
        "plain_ms": latency_summary(costs.plain_ms),
        "exits": _exits(validation, test, costs),
        "points": _points(validation, "validation", settings, costs) + on_test,
        "chosen": chosen,
        "choice": {
            "split": "validation",
            **choice,
            "chosen_on_test": {key: best_on_test[key] for key in ("thresholds", "accuracy_pct", "exit_pct")},
        },
        "measured": {"split": "test", **measured},
        "operating_points": [{"name": name, **entry} for name, entry in zip(asked, others)],
        "plain_accuracy_pct": 100 * float(plain_right["test"].mean()),
    }
    kept = {**vars(timed), "settings": np.array(settings_timed), "images": order[: len(timed.plain_ms)]}
    return results, by_measure, kept


def _recorded(net, plain_net, splits, transform):
    """(test samples, exit records of the validation samples, those of the test samples by measure, {split: which of
    its samples the plain network has right})."""
    evaluated = {"validation": splits.validation, "test": splits.test}
    x = {split: transform(samples.images) for split, samples in evaluated.items()}
    logits = shown_logits(net, x["validation"], "validation images")
    validation = ExitRecords.of(logits, splits.validation.labels, "entropy")
    plain_right = {
        split: shown_logits(plain_net, x[split], f"plain network, {split} images")[-1].argmax(axis=1) == samples.labels
        for split, samples in evaluated.items()
    }
    return x["test"], validation, record_by_measure(net, x["test"], splits.test.labels), plain_right


def _described(test, plain_right, wanted, settings_timed, timed):
    """For each setting of T that was wanted its entry in the record; one that could not be had has no thresholds."""
    for thresholds in wanted:
        if thresholds is None:
            yield {"thresholds": None}
        else:
            summary = timed.summary(settings_timed.index(thresholds), test.n_exits)
            yield operating.described(test, plain_right, thresholds, summary)


def _choose(validation, test, settings, request, costs, plan):
    """The keys of "choice" that say which T was chosen, and how; and its index in `settings`, or None."""
    if request.thresholds is not None:
        thresholds = list(as_exit_rule(request.thresholds, validation.n_exits).values)
        return {"goal": None, "rule": "given by the user", "thresholds": thresholds, "details": {}}, None
    grid, goal = (settings, "knee") if request.goal is None else (None, request.goal)
    exit_costs = _exit_costs(parse_goal(goal), costs, plan)
    choice = choose_thresholds(validation, exit_costs, goal, grid=grid)
    entry = {
        "goal": choice.goal,
        "rule": choice.rule,
        "thresholds": list(choice.thresholds),
        "details": {**choice.details, "expected_cost": choice.expected_cost, "unit": choice.unit},
        "uncertainty": uncertainty_of_choice(validation, test, exit_costs, goal, grid, choice.thresholds),
    }
    return entry, choice.index


def _exit_costs(goal, costs, plan):
    if goal.unit == "multiply-adds":
        return ExitCosts(np.array(plan.path_multiply_adds()), goal.unit)
    return ExitCosts(costs.end_to_end_ms.mean(axis=1), "ms")


def uncertainty_of_choice(validation, test, costs, goal, grid, thresholds, n_resamples=N_RESAMPLES, seed=0) -> dict:
    """How T would differ with other validation samples, by a bootstrap over them: T is chosen anew on each resample.

    Args:
        validation, test: `ExitRecords`.
        costs: `ExitCosts`, taken as known.
        goal: as text.
        grid: (K, n_exits - 1) settings to choose from; None for any.
        thresholds: what was chosen on the samples as they are.
        n_resamples, seed: of the bootstrap.

    Returns:
        JSON-able: n_resamples; none_pct, in which share of them nothing serves the goal; another_T_pct, in which share
        T is another one; accuracy_pct and relative_cost, {low, high} of 95 % of what the T of the resamples give on the
        test samples, as accuracy and as cost over that of the chosen T (None where no T was found at all).
    """
    rng, n, found = np.random.default_rng(seed), len(validation.labels), []
    for _ in terminal.counted("choosing T again on resamples", range(n_resamples), "resample"):
        with contextlib.suppress(ThresholdError):
            resample = validation.take(rng.integers(n, size=n))
            found.append(tuple(choose_thresholds(resample, costs, parse_goal(goal), grid=grid).thresholds))
    n_other = sum(one != tuple(thresholds) for one in found)
    accuracies = relative = None
    if found:
        outcomes = test.evaluate([tuple(thresholds), *found])
        expected = outcomes.expected_costs(costs)
        accuracies, relative = 100 * outcomes.accuracies[1:], expected[1:] / expected[0]
    return {
        "n_resamples": n_resamples,
        "none_pct": 100 * (n_resamples - len(found)) / n_resamples,
        "another_T_pct": 100 * n_other / n_resamples,
        "accuracy_pct": _middle(accuracies),
        "relative_cost": _middle(relative),
    }


def _middle(values):
    if values is None:
        return None
    low, high = np.percentile(values, (2.5, 97.5))
    return {"low": float(low), "high": float(high)}


def _points(exit_records, split, settings, costs):
    """The sweep on one split: accuracy and exits as recorded, times from the measured cost of each path."""
    outcomes = exit_records.evaluate(settings)
    plain_chainer_ms, plain_ms = costs.plain_chainer_ms.mean(), costs.plain_ms.mean()
    end_to_end_ms, paper_clock_ms = costs.end_to_end_ms.mean(axis=1), costs.paper_clock_ms.mean(axis=1)
    points = []
    for thresholds, accuracy, shares in zip(outcomes.thresholds, outcomes.accuracies, outcomes.exit_shares):
        points.append(
            {
                "thresholds": thresholds.tolist(),
                "split": split,
                "accuracy_pct": 100 * float(accuracy),
                "exit_pct": (100 * shares).tolist(),
                "end_to_end_ms": float(shares @ end_to_end_ms),
                "paper_clock_ms": float(shares @ paper_clock_ms),
                "end_to_end_gain": float(plain_ms / (shares @ end_to_end_ms)),
                "paper_clock_gain": float(plain_chainer_ms / (shares @ paper_clock_ms)),
                "on_front": False,
            }
        )
    for index in front(*_times_and_accuracies(points)):
        points[index]["on_front"] = True
    return points


def _times_and_accuracies(points):
    return [point["end_to_end_ms"] for point in points], [point["accuracy_pct"] / 100 for point in points]


def _exits(validation, test, costs):
    """One entry an exit: its accuracy if every sample left there, and what leaving there costs."""
    return [
        {
            "exit": number,
            "accuracy_pct": {"validation": 100 * float(validation_accuracy), "test": 100 * float(test_accuracy)},
            "latency_ms": latency_summary(end_to_end_ms),
            "paper_clock_ms": latency_summary(paper_clock_ms),
            "count": len(end_to_end_ms),
        }
        for number, (validation_accuracy, test_accuracy, end_to_end_ms, paper_clock_ms) in enumerate(
            zip(validation.exit_accuracies(), test.exit_accuracies(), costs.end_to_end_ms, costs.paper_clock_ms),
            start=1,
        )
    ]
