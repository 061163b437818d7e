"""A trained network with everything that measures and goals are compared on."""

from __future__ import annotations

import dataclasses
import functools
import typing

import numpy as np

from branchynet import benchmark
from branchynet.choosers import Choice, ExitCosts, choose_thresholds, evaluate_settings
from branchynet.evaluation.recorded import Recorded
from branchynet.inference import compile

PAPERS_MEASURE = "entropy"


@dataclasses.dataclass(frozen=True)
class Study:
    """What measures and goals are compared on; no test label chooses anything.

    Attributes:
        choose: `Recorded` validation samples that thresholds are chosen on, none of which a measure was fitted to.
        test: `Recorded` test samples.
        measures: {name: `branchynet.confidence.Measure`, ready for use}, the paper's among them.
        compiled: {name: `CompiledNet` with that measure}.
        costs: {name: `ExitCosts` in ms with that measure inside the clock}.
        cost_errors: {name: (n_exits,) standard errors of these means, ms}.
        n_timed: how many samples the costs are means over.
    """

    choose: Recorded
    test: Recorded
    measures: dict
    compiled: dict
    costs: dict
    cost_errors: dict
    n_timed: int

    @classmethod
    def of(cls, net, choose, test, measures, samples, engine="auto", budget_s=None) -> Study:
        """Compiles the network for every measure, and times the path to every exit, all measures taking turns.

        Args:
            net: a trained `BranchyNet`.
            choose, test, measures: see above.
            samples: (n, C, H, W) float32 on the host, to be timed.
            engine: of `branchynet.inference.compile`.
            budget_s: seconds for timing all of them.
        """
        compiled = {
            name: compile(net, net.sample_shape, engine, net.device.name, measure=measure)
            for name, measure in measures.items()
        }
        times = benchmark.exit_times(compiled, samples, budget_s)
        costs = {name: ExitCosts(exit_ms.mean(axis=1)) for name, exit_ms in times.items()}
        n_timed = times[PAPERS_MEASURE].shape[1]
        errors = {name: exit_ms.std(axis=1) / np.sqrt(n_timed) for name, exit_ms in times.items()}
        return cls(choose, test, measures, compiled, costs, errors, n_timed)

    @property
    def plan(self):
        """The `Plan` of the network, the same whatever the measure."""
        return self.compiled[PAPERS_MEASURE].plan

    @functools.cached_property
    def validation_records(self) -> dict:
        """{name: `ExitRecords` of `choose`}"""
        return {name: self.choose.records(measure) for name, measure in self.measures.items()}

    @functools.cached_property
    def test_records(self) -> dict:
        """{name: `ExitRecords` of `test`}"""
        return {name: self.test.records(measure) for name, measure in self.measures.items()}

    def papers_choice(self, grid) -> Choice:
        """The paper's way on validation samples: the knee of a sweep of the entropy's T over a grid.

        Args:
            grid: (K, n_exits - 1) settings in nats.
        """
        name = PAPERS_MEASURE
        return choose_thresholds(self.validation_records[name], self.costs[name], "knee", grid=np.asarray(grid))


def outcome(records, costs, thresholds) -> dict:
    """What one setting of T gives.

    Args:
        records: `branchynet.thresholds.ExitRecords`.
        costs: `ExitCosts`.
        thresholds: (n_exits - 1,).

    Returns:
        {"accuracy_pct", "cost": mean, in the unit of the costs, "exit_pct": [of each exit], "early_pct": share leaving
        before the last exit}
    """
    return outcomes(evaluate_settings(records, [thresholds]), costs)[0]


def outcomes(settings, costs) -> list:
    """What each of several settings gives, as `outcome` does.

    Args:
        settings: `branchynet.choosers.Settings`.
        costs: `ExitCosts`.
    """
    rows: typing.Any = zip(settings.accuracies, settings.expected_costs(costs), settings.exit_shares)
    return [
        {
            "accuracy_pct": 100 * float(accuracy),
            "cost": float(cost),
            "exit_pct": (100 * shares).tolist(),
            "early_pct": 100 * float(shares[:-1].sum()),
        }
        for accuracy, cost, shares in rows
    ]
