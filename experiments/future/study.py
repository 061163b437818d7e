"""A trained network with everything that measures and goals are compared on."""

from __future__ import annotations

import dataclasses
import functools
import typing

import numpy as np

from branchynet.bench import paths
from branchynet.inference import compile_net
from branchynet.machine import terminal
from branchynet.thresholds import Choice, ExitCosts, choose_thresholds, parse_goal
from future.recorded import Recorded

# The paper's measure. With T at the knee of the authors' grid it is the reference setting.
REFERENCE_MEASURE = "entropy"


@dataclasses.dataclass(frozen=True)
class Study:
    """What measures and goals are compared on; no test label chooses anything."""

    net: typing.Any  # the trained `BranchyNet`, which timed answers are held against
    validation: Recorded  # that thresholds are chosen on; no measure was fitted to them
    test: Recorded  # that is reported on
    measures: dict  # {name: `branchynet.confidence.Measure`, ready for use}, that of the reference among them
    grid: np.ndarray  # (K, n_exits - 1) settings in nats, from which the reference is chosen
    samples: np.ndarray  # (n, C, H, W) float32 test samples on the host, to be timed
    compiled: dict  # {name: `CompiledNet` with that measure}
    costs: dict  # {name: `ExitCosts` in ms with that measure inside the clock}
    cost_errors: dict  # {name: (n_exits,) standard errors of these means, ms}
    n_timed: int  # how many samples the costs are means over

    @classmethod
    def of(cls, net, validation, test, measures, grid, samples, engine="auto", budget_s=paths.BUDGET_S) -> Study:
        """Compiles the network for every measure, and times the path to every exit, all measures taking turns.

        Args:
            net, validation, test, measures, grid, samples: see above.
            engine: of `branchynet.inference.compile_net`.
            budget_s: seconds for timing all of them.
        """
        compiled = {
            name: compile_net(net, engine=engine, device=net.device.name, measure=measure)
            for name, measure in measures.items()
        }
        with terminal.elapsing("timing the measures", budget_s):
            exit_ms = paths.exit_times(compiled, samples, budget_s)
        n_timed = exit_ms[REFERENCE_MEASURE].shape[1]
        costs = {name: ExitCosts(ms.mean(axis=1)) for name, ms in exit_ms.items()}
        errors = {name: ms.std(axis=1) / np.sqrt(n_timed) for name, ms in exit_ms.items()}
        return cls(net, validation, test, measures, np.asarray(grid), samples, compiled, costs, errors, n_timed)

    @functools.cached_property
    def validation_records(self) -> dict:
        """{name: `ExitRecords` of the validation samples}"""
        return {name: self.validation.records(measure) for name, measure in self.measures.items()}

    @functools.cached_property
    def test_records(self) -> dict:
        """{name: `ExitRecords` of the test samples}"""
        return {name: self.test.records(measure) for name, measure in self.measures.items()}

    @functools.cached_property
    def reference(self) -> Choice:
        """The reference setting: entropy, with T at the knee of the grid on the validation samples."""
        return self.choose(REFERENCE_MEASURE, parse_goal("knee"), self.grid)

    def goal_costs(self, name, goal) -> ExitCosts:
        """What leaving at each exit costs, in the unit that a `Goal` is in: multiply-adds if it says so, else ms."""
        if goal.unit == "multiply-adds":
            return ExitCosts(np.array(self.compiled[name].plan.path_multiply_adds()), goal.unit)
        return self.costs[name]

    def choose(self, name, goal, grid=None) -> Choice:
        """T for a `Goal` by a measure, on the validation samples; of any value, or one of a grid (K, n_exits - 1).

        Raises:
            ThresholdError: nothing serves the goal.
        """
        return choose_thresholds(self.validation_records[name], self.goal_costs(name, goal), goal, grid=grid)

    def on_validation(self, name, thresholds) -> dict:
        """What a setting of a measure's T gives on the validation samples: a row of `Outcomes.rows`, in ms."""
        return self.validation_records[name].evaluate([thresholds]).rows(self.costs[name])[0]

    def on_test(self, name, thresholds) -> dict:
        """The same on the test samples."""
        return self.test_records[name].evaluate([thresholds]).rows(self.costs[name])[0]
