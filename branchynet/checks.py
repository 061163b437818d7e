"""Checks for extensions of one's own, as scikit-learn's `check_estimator`: what a measure, a goal, a weighting or a
lowering must hold to, tried on small data. Call one in a test of your own::

    check_measure("largest logit")

Each raises the error of its kind, which says what was expected. On a machine with a GPU, give its device too.
"""

from __future__ import annotations

import chainer
import numpy as np

from branchynet.confidence import Measure, as_measure
from branchynet.errors import CompileError, MeasureError, ThresholdError, TrainingError
from branchynet.inference import compile_net, run
from branchynet.inference.operations import shape_after
from branchynet.inference.plan import make_plan
from branchynet.machine.devices import get_device, to_host
from branchynet.thresholds import ExitCosts, ExitRecords, as_exit_rule, choose_thresholds, parse_goal
from branchynet.training import JointLoss

_N_EXITS, _N_SAMPLES, _N_CLASSES = 3, 40, 5
# Rounding of float32, over a few operations.
_TOLERANCE = 1e-4


def _samples():
    """Logits (n_exits, N, n_classes) float32 of exits that get better, and labels (N,) int32."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, _N_CLASSES, _N_SAMPLES).astype(np.int32)
    sizes = np.arange(1, _N_EXITS + 1)[:, None, None]
    logits = rng.normal(size=(_N_EXITS, _N_SAMPLES, _N_CLASSES)) + sizes * np.eye(_N_CLASSES)[labels]
    return logits.astype(np.float32), labels


def check_measure(measure, device="cpu") -> None:
    """Checks a measure of confidence.

    Its scores must be real, finite, one for each sample and not below `lowest`; the same for a sample alone as in a
    batch, at a second call as at the first, and on a GPU as on the CPU; for logits of any size, and for no sample. Its
    input must stay as it was.

    Args:
        measure: a `branchynet.confidence.Measure`, or the name of one; it is fitted if it was not.
        device: where it is to be tried besides the CPU.

    Raises:
        MeasureError: it does not hold to that.
    """
    # As it is: `as_measure` would give it copies of the logits, and refuse scores in words of its own.
    measure = measure if isinstance(measure, Measure) else as_measure(measure)
    logits, labels = _samples()
    measure.fit(logits, labels)
    measure.check(_N_EXITS)
    given = logits.copy()
    scores = [np.asarray(s) for s in measure.scores_of_exits(given)]

    def require(holds, expected):
        if not holds:
            raise MeasureError(f"{measure.name or type(measure).__name__}: expected {expected}")

    require((given == logits).all(), "logits that stay as they were: copy before you change them")
    require(all(s.shape == (_N_SAMPLES,) and s.dtype.kind == "f" for s in scores), "one real score for each sample")
    require(all(np.isfinite(s).all() for s in scores), "finite scores")
    require(all((s >= measure.lowest).all() for s in scores), f"scores >= lowest, {measure.lowest:g}")
    again = measure.scores_of_exits(logits.copy())
    require(all(np.array_equal(a, b) for a, b in zip(again, scores)), "the same scores at every call")
    for n in range(3):
        alone = measure.scores_of_exits(logits[:, n : n + 1].copy())
        same = all(np.allclose(a[0], s[n], atol=_TOLERANCE, rtol=_TOLERANCE) for a, s in zip(alone, scores))
        require(same, "the score of a sample alone to be that in a batch")
        if measure.score_of_one is not None:
            ones = [measure.score_of_one(index, logits[index, n].tolist()) for index in range(_N_EXITS)]
            same = all(np.isclose(a, s[n], atol=_TOLERANCE, rtol=_TOLERANCE) for a, s in zip(ones, scores))
            require(same, "score_of_one to be the score")
    require(all(len(s) == 0 for s in measure.scores_of_exits(logits[:, :0])), "no scores of no samples")
    large = measure.scores_of_exits(100 * logits)
    require(all(np.isfinite(s).all() for s in large), "finite scores of large logits: subtract the largest before exp")
    there = get_device(device)
    if there.xp is not np:
        sent = [to_host(s) for s in measure.scores_of_exits([there.send(z) for z in logits])]
        same = all(np.allclose(a, s, atol=_TOLERANCE, rtol=_TOLERANCE) for a, s in zip(sent, scores))
        require(same, f"the scores on {there.name} to be those on the CPU")


def check_goal(goal, unit="ms") -> None:
    """Checks a goal: it must choose thresholds that fit the network, or say that nothing serves it; the same at every
    call, of one exit as of several, from records that stay as they were; and say its rule in words.

    Args:
        goal: text as of `branchynet.thresholds.parse_goal`, without a list of numbers.
        unit: of the costs.

    Raises:
        ThresholdError: it does not hold to that.
    """
    logits, labels = _samples()
    for n_exits in (2, _N_EXITS):
        records, costs = ExitRecords.of(logits[:n_exits], labels), ExitCosts(np.arange(1.0, n_exits + 1), unit)
        before = [array.copy() for array in (records.scores, records.predictions, records.labels, costs.values)]
        found = []
        for _ in range(2):
            try:
                choice = choose_thresholds(records, costs, goal)
            except ThresholdError as error:
                if not str(error).startswith(f"{parse_goal(goal).text}: "):
                    raise  # not the goal says this, but whoever looked at what it found
                found.append(str(error))
                continue
            as_exit_rule(choice.thresholds, n_exits, records.lowest)
            if not isinstance(choice.rule, str) or not choice.rule:
                raise ThresholdError(f"{goal}: expected the rule in words, got {choice.rule!r}")
            found.append(choice.thresholds)
        after = (records.scores, records.predictions, records.labels, costs.values)
        if not all(np.array_equal(a, b) for a, b in zip(before, after)):
            raise ThresholdError(f"{goal}: expected records and costs that stay as they were")
        if found[0] != found[1]:
            raise ThresholdError(f"{goal}: expected the same thresholds at every call, got {found[0]} and {found[1]}")


def check_weighting(weighting, net, x, labels) -> None:
    """Checks a weighting of the exits' losses: for each exit one finite loss, from which gradients flow into it; the
    same at a second call, from logits that stay as they were; and for a single sample too.

    Args:
        weighting: what `branchynet.training.weightings.make_weighting` takes.
        net: an initialised `BranchyNet`; its parameters stay as they are.
        x, labels: (n, ...) float32 and (n,) int32, at least two samples.

    Raises:
        TrainingError: it does not hold to that.
    """
    with chainer.using_config("train", False):  # dropout would draw anew at each call
        found = [
            _checked_losses(weighting, net, x[rows], labels[rows]) for rows in (slice(None), slice(None), slice(1))
        ]
    net.cleargrads()
    if not np.allclose(found[0], found[1], rtol=_TOLERANCE):
        raise TrainingError(f"weighting: expected the same losses at every call, got {found[0]} and {found[1]}")


def _checked_losses(weighting, net, x, labels):
    """The losses of a batch, checked, as numbers."""
    loss = JointLoss(net, weighting=weighting)
    exits = loss._exit_outputs(x, labels, 1.0)
    before = [out.logits.array.copy() for out in exits]
    losses = loss.weighting.losses(exits)
    if len(losses) != net.n_exits or not all(isinstance(one, chainer.Variable) and one.shape == () for one in losses):
        raise TrainingError(f"weighting: expected {net.n_exits} Variables (), one loss for each exit, got {losses}")
    if not all(np.isfinite(float(one.array)) for one in losses):
        raise TrainingError(f"weighting: expected finite losses, got {[float(one.array) for one in losses]}")
    if not all((out.logits.array == kept).all() for out, kept in zip(exits, before)):
        raise TrainingError("weighting: expected logits that stay as they were")
    for number, (one, branch) in enumerate(zip(losses, net.exits), start=1):
        net.cleargrads()
        one.backward(retain_grad=False)
        grads = [param.grad for param in branch.params()]
        if any(grad is None or not net.xp.isfinite(grad).all() for grad in grads):
            raise TrainingError(f"weighting: expected finite gradients at exit {number}, got none or NaN")
        if len(x) > 1 and not any(grad.any() for grad in grads):
            raise TrainingError(f"weighting: expected gradients at exit {number} from its own loss, got zeros")
    return [float(one.array) for one in losses]


def check_lowering(net, x, thresholds=0.0, engines=("arrays",)) -> None:
    """Checks the lowerings of a net's layers: compiled, they must answer as the layers themselves do, for one sample
    and for several; their shapes must be those that they say; and later changes of a weight must not reach the plan.

    Args:
        net: a `BranchyNet` with the layers in question, on the CPU.
        x: (n, ...) float32, at least two samples.
        thresholds: what `branchynet.thresholds.as_exit_rule` takes.
        engines: of `branchynet.inference.engines.engine_names`.

    Raises:
        CompileError: they do not hold to that.
    """
    expected = run(net, x, thresholds)
    plan = make_plan(net, x.shape[1:])
    for segment in plan.segments:
        if shape_after(segment.head, segment.out_shape) != (plan.n_classes,):
            raise CompileError(f"lowering: expected logits ({plan.n_classes},), got {segment.head}")
    for engine in engines:
        compiled = compile_net(net, engine=engine)
        kept = [param.array.copy() for param in net.params()]
        try:
            for param in net.params():
                param.array[...] += 1
            answers = [compiled.run(x, thresholds), *(compiled.run(x[n : n + 1], thresholds) for n in range(2))]
        finally:
            for param, array in zip(net.params(), kept):
                param.array[...] = array
        for found, rows in zip(answers, (slice(None), slice(0, 1), slice(1, 2))):
            if not np.allclose(found.logits, expected.logits[rows], rtol=1e-3, atol=_TOLERANCE):
                difference = float(np.abs(found.logits - expected.logits[rows]).max())
                raise CompileError(
                    f"lowering, engine {engine}: expected the logits of the layers themselves, as they were when the "
                    f"net was compiled, got others, by {difference:.3g}: copy the weights, and compare the operations"
                )
