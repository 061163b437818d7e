"""The C source of a compiled network: kernels, stages, one function for the trunk piece and the head of each exit, and
the function that classifies."""

import pathlib

import numpy as np

from branchynet.confidence.calibration import CalibratedEntropy
from branchynet.confidence.direct import Energy, Margin, MaxProbability
from branchynet.confidence.entropy import Entropy
from branchynet.errors import CompileError
from branchynet.inference.native.stages import c_float
from branchynet.machine.compilers import VECTORS, WINOGRAD

_KERNELS = [pathlib.Path(__file__).with_name(name) for name in ("kernels.h", "tiles.h")]
# Label and score from logits, for the CPU and for a GPU.
SCORES = pathlib.Path(__file__).with_name("scores.h")
# Measures that the kernels know: (function in scores.h, temperature of a measure at an exit).
_SCORES = {
    Entropy: ("entropy", lambda measure, exit_index: 1.0),
    CalibratedEntropy: ("entropy", lambda measure, exit_index: measure.tau_[exit_index]),
    MaxProbability: ("max_probability", lambda measure, exit_index: 1.0),
    Margin: ("margin", lambda measure, exit_index: 1.0),
    Energy: ("energy", lambda measure, exit_index: measure.tau),
}

DECLARATIONS = """
/* Classifies samples, each leaving at the first exit whose score is below its threshold.
 *
 * work: of this call alone; prepared once by branchynet_prepare, of sizeof(struct branchynet_workspace) bytes.
 * weights: BRANCHYNET_N_WEIGHTS floats. samples: n x BRANCHYNET_N_INPUTS floats, in the order channel, row, column.
 * thresholds: one for each early exit. labels, exits (0 for the first), scores: n numbers; logits: n x
 * BRANCHYNET_N_CLASSES. Returns how many samples were answered: n, or the index of the first sample that holds a number
 * which is not finite or above 1e18 in size, or has logits that are not finite or a score that is NaN: at which exit,
 * exits tells. */
int branchynet_classify(struct branchynet_workspace *work, const float *weights, const float *samples, int n,
                        const float *thresholds, int32_t *labels, int32_t *exits, float *scores, float *logits);

void branchynet_prepare(struct branchynet_workspace *work);
"""


def score_expression(measure, exit_index, engine="native") -> str:
    """C: the score of an exit from its `logits`.

    Args:
        measure: a `branchynet.confidence.Measure`; None for no score.
        exit_index: 0 for the first exit.
        engine: that an error names.

    Raises:
        CompileError: a measure that the kernels do not know.
    """
    if measure is None:
        return "NAN"
    if type(measure) not in _SCORES:
        raise CompileError(
            f"the {engine} engine knows the measures entropy, calibrated-entropy, max-probability, margin and energy, "
            f"not {measure.name}"
        )
    function, tau_of = _SCORES[type(measure)]
    tau = tau_of(measure, exit_index)
    return f"{function}(logits, BRANCHYNET_N_CLASSES, {c_float(tau)})"


def header(program) -> str:
    """The sizes, the workspace and what can be called, of a `branchynet.inference.native.program.Program`."""
    plan = program.plan
    sizes = {
        "N_EXITS": plan.n_exits,
        "N_CLASSES": plan.n_classes,
        "N_INPUTS": int(np.prod(plan.in_shape)),
        "N_WEIGHTS": len(program.weights),
    }
    constants = "\n".join(f"#define BRANCHYNET_{name} {value}" for name, value in sizes.items())
    buffers = "\n".join(f"    _Alignas(64) float {name}[{size}];" for name, size in program.buffers.items())
    workspace = f"struct branchynet_workspace {{\n{buffers}\n}};"
    n_bytes = 4 * sum(program.buffers.values())
    workspace += f'\n_Static_assert(sizeof(struct branchynet_workspace) == {n_bytes}, "buffers are whole cache lines");'
    return f"#include <stdint.h>\n\n{constants}\n\n{workspace}\n{DECLARATIONS}"


def body(program, measure) -> str:
    """The stages and the functions that `header` declares; arguments and errors are those of `whole_source`."""
    parts = list(program.functions.values())
    for number, segment in enumerate(program.segments, start=1):
        parts.append(_calls(f"trunk_{number}", f"The trunk up to exit {number}.", segment.trunk))
        parts.append(_calls(f"head_{number}", f"The head of exit {number}: its logits.", segment.head))
    parts.append(_classify_one(program, measure))
    parts.append(_CLASSIFY)
    return "\n\n".join(parts) + "\n"


def _calls(name, comment, calls):
    lines = "\n".join(f"    {call}" for call in calls)
    if not calls:
        lines = "    (void)work, (void)weights; /* exit and exit point before are one place */"
    elif not any("weights" in call for call in calls):
        lines += "\n    (void)weights;"
    return (
        f"/* {comment} */\nstatic void {name}(struct branchynet_workspace *work, const float *weights)\n{{\n{lines}\n}}"
    )


def _classify_one(program, measure):
    lines = ["    *score = 0;"]
    for index, segment in enumerate(program.segments):
        lines.append(f"    *exit = {index};")
        lines.append(f"    trunk_{index + 1}(work, weights);")
        lines.append(f"    head_{index + 1}(work, weights);")
        lines.append(f"    logits = {segment.logits};")
        lines.append("    if (!all_finite(logits, BRANCHYNET_N_CLASSES, FLT_MAX)) return 0;")
        lines.append(f"    *score = {score_expression(measure, index)};")
        if measure is not None:
            lines.append("    if (isnan(*score)) return 0;")
        if index < len(program.segments) - 1:
            lines.append(f"    if (*score < thresholds[{index}]) return logits;")
    lines.append("    return logits;")
    if len(program.segments) == 1:
        lines.insert(0, "    (void)thresholds;")
    return (
        "/* The sample in work->sample, up to the exit that is sure enough of it. Returns the logits there, or 0 if\n"
        " * some on the way are not finite, or score is NaN. */\n"
        "static const float *classify_one(struct branchynet_workspace *work, const float *weights,\n"
        "                                 const float *thresholds, int32_t *exit, float *score)\n"
        "{\n    const float *logits;\n" + "\n".join(lines) + "\n}"
    )


_CLASSIFY = """\
int branchynet_classify(struct branchynet_workspace *work, const float *weights, const float *samples, int n,
                        const float *thresholds, int32_t *labels, int32_t *exits, float *scores, float *logits)
{
    for (int i = 0; i < n; i++, samples += BRANCHYNET_N_INPUTS, logits += BRANCHYNET_N_CLASSES) {
        if (!all_finite(samples, BRANCHYNET_N_INPUTS, 1e18f)) return i;
        for (int j = 0; j < BRANCHYNET_N_INPUTS; j++) work->sample[j] = samples[j];
        const float *found = classify_one(work, weights, thresholds, &exits[i], &scores[i]);
        if (!found) return i;
        labels[i] = largest(found, BRANCHYNET_N_CLASSES);
        for (int c = 0; c < BRANCHYNET_N_CLASSES; c++) logits[c] = found[c];
    }
    return n;
}

void branchynet_prepare(struct branchynet_workspace *work)
{
    char *bytes = (char *)work;
    for (size_t i = 0; i < sizeof *work; i++) bytes[i] = 0;
}"""


# A call from Python takes a good part of the time of a small network, and most of that goes by the argument.
_CALL_ONE = """
/* branchynet_classify of one sample; its arguments but n, in their order. */
int branchynet_classify_one(void *const *arguments);
int branchynet_classify_one(void *const *a)
{
    return branchynet_classify(a[0], a[1], a[2], 1, a[3], a[4], a[5], a[6], a[7]);
}
"""


def kernels() -> str:
    """What all compiled networks share."""
    return "\n".join(path.read_text(encoding="utf-8") for path in (VECTORS, WINOGRAD, *_KERNELS, SCORES))


def whole_source(program, measure) -> str:
    """One C file: kernels, header and body, and a way in that takes one argument.

    Args:
        program: `branchynet.inference.native.program.Program`.
        measure: a `branchynet.confidence.Measure`; None for no score.

    Raises:
        CompileError: a measure that the kernels do not know.
    """
    return "\n".join([kernels(), header(program), body(program, measure), _CALL_ONE])
