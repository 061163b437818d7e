"""Export as C: a model without dependencies but libm, that allocates nothing, for whatever has a C compiler.

The code is that of the native engine (`branchynet.inference.native`), with the weights beside it.
"""

from branchynet.confidence import as_measure
from branchynet.datasets.transforms import Normalise, Scale
from branchynet.errors import CompileError, OutputError, ThresholdError
from branchynet.gate import class_names as as_class_names
from branchynet.gate import path as as_path
from branchynet.gate import shown
from branchynet.inference.compiled import with_transform
from branchynet.inference.native import source
from branchynet.inference.native.program import Program
from branchynet.inference.native.stages import c_float
from branchynet.inference.plan import make_plain_plan, make_plan
from branchynet.machine.files import replacing
from branchynet.net import check_net
from branchynet.thresholds import Thresholds, as_exit_rule
from branchynet.thresholds.rule import as_float32

# What a target's compiler is told, besides -O3; the source is the same for all.
TARGETS = {
    "native": "-march=native",
    "avx512": "-march=x86-64-v4",
    "avx2": "-march=x86-64-v3",
    "sse": "-march=x86-64",
    "aarch64": "-march=armv8-a",
    "arm": "-march=armv7-a -mfpu=neon -mfloat-abi=hard -funsafe-math-optimizations",
    "wasm32": "-msimd128",
    "portable": "",
}
_NUMBERS_A_LINE = 10

_EXTRA_DECLARATIONS = """
extern const float branchynet_weights[BRANCHYNET_N_WEIGHTS];
/* One for each early exit; change them as you like, between two calls. */
extern float branchynet_thresholds[BRANCHYNET_N_EXITS];
extern const char *const branchynet_class_names[BRANCHYNET_N_CLASSES];

/* Prepares a sample: BRANCHYNET_N_INPUTS pixels, in the order channel, row, column, as floats of the same order. */
void branchynet_transform(const uint8_t *pixels, float *sample);
"""

_MAIN = """\
/* Classifies raw images: files of BRANCHYNET_N_INPUTS bytes an image, in the order channel, row, column. */
#include <stdio.h>
#include "branchynet_model.h"

int main(int argc, char **argv)
{
    static struct branchynet_workspace work;
    static uint8_t pixels[BRANCHYNET_N_INPUTS];
    static float sample[BRANCHYNET_N_INPUTS], logits[BRANCHYNET_N_CLASSES];
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : stdin;
    if (!file) { fprintf(stderr, "cannot read %s\\n", argv[1]); return 2; }
    branchynet_prepare(&work);
    for (size_t n_bytes; (n_bytes = fread(pixels, 1, sizeof pixels, file)) > 0;) {
        int32_t label, exit;
        float score;
        if (n_bytes < sizeof pixels) {
            fprintf(stderr, "expected images of %zu bytes, got %zu at the end\\n", sizeof pixels, n_bytes);
            return 1;
        }
        branchynet_transform(pixels, sample);
        if (!branchynet_classify(&work, branchynet_weights, sample, 1, branchynet_thresholds, &label, &exit, &score,
                                 logits)) {
            fprintf(stderr, "expected finite logits and scores, got NaN or infinity: a sample is too large\\n");
            return 1;
        }
        printf("%s exit %d score %.6g\\n", branchynet_class_names[label], (int)exit + 1, (double)score);
    }
    return 0;
}
"""

_MAKEFILE = """\
CC ?= cc
CFLAGS ?= -std=c11 -O3 {flags} -ffp-contract=fast -fno-math-errno -Wall -Wextra

classify: main.c branchynet_model.c branchynet_model.h
\t$(CC) $(CFLAGS) main.c branchynet_model.c -o $@ -lm
"""


def export_c(
    net, thresholds, folder, transform, target="native", measure="entropy", class_names=None, plain=False, tiles=True
) -> list:
    """Writes a network as C: `branchynet_model.h`, `branchynet_model.c`, a `main.c` that uses them, and a `Makefile`.

    The thresholds stand in an array that may be changed at run time. The workspace is the caller's; one for each thread
    that classifies.

    Args:
        net: an initialised `BranchyNet`.
        thresholds: what `branchynet.thresholds.as_exit_rule` takes.
        folder: is made, if need be.
        transform: `branchynet.datasets.transforms.Scale` or `Normalise`: what makes of pixels a sample.
        target: of `TARGETS`: for the flags in the Makefile; the source is the same.
        measure: how sure an exit is: a `branchynet.confidence.Measure` that the native engine knows, or its name.
        class_names: one text for each class; their numbers by default.
        plain: the plain network, trunk and last exit, in place of the branchy one; thresholds, () then, and measure
            are not looked at.
        tiles: whether convolutions are computed by tiles (Winograd's minimal filtering) where that is faster. Their
            weights take up to seven times the room then: False is for a small device, or a download.

    Returns:
        the paths of the files.

    Raises:
        CompileError: a layer, a measure, a transform or a target that the C code does not know; other class names than
            one for each class.
        DataError: a transform of other images.
        ThresholdError: thresholds that do not fit the network, or percentages.
        NetworkError: it is no `BranchyNet`.
        OutputError: the files cannot be written.
    """
    if not isinstance(target, str) or target not in TARGETS:
        raise CompileError(f"target: expected one of {', '.join(TARGETS)}, got {shown(target)}")
    check_net(net)
    folder = as_path(folder, OutputError, "the name of a folder to write into")
    if plain:
        measure, rule = None, as_exit_rule((), 1)
    else:
        measure = as_measure(measure)
        measure.check(net.n_exits)
        rule = as_exit_rule(thresholds, net.n_exits, measure.lowest)
    if not isinstance(rule, Thresholds):
        raise ThresholdError("export: expected thresholds; a percentage is of a batch, the code is for one sample")
    plan = with_transform(make_plain_plan(net) if plain else make_plan(net), transform)
    program = Program(plan, tiles)
    # C would fill up too few with null pointers.
    class_names = [str(n) for n in range(plan.n_classes)] if class_names is None else class_names
    names = as_class_names(class_names, plan.n_classes, CompileError)
    texts = {
        **_model(program, measure, rule, names, _transform(plan)),
        "main.c": _MAIN,
        "Makefile": _MAKEFILE.format(flags=TARGETS[target]),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"export: expected a folder that can be written, got {folder}: {error}") from error
    for name, text in texts.items():
        with replacing(folder / name, "w", encoding="utf-8", newline="\n") as handle:
            handle.write(text)
    return [folder / name for name in texts]


def _model(program, measure, rule, class_names, transform):
    """{name of a file: text} of the model: what its header declares, and the code with weights and thresholds."""
    guard = "#ifndef BRANCHYNET_MODEL_H\n#define BRANCHYNET_MODEL_H\n\n"
    names = ", ".join(map(_quoted, class_names))
    code = [
        source.kernels(),
        '#include "branchynet_model.h"\n',
        source.body(program, measure),
        transform,
        f"const char *const branchynet_class_names[BRANCHYNET_N_CLASSES] = {{{names}}};\n",
        # An array of one more number than there are early exits: there may be none.
        f"float branchynet_thresholds[BRANCHYNET_N_EXITS] = {{{_numbers([*as_float32(rule.values), 0.0])}}};\n",
        f"_Alignas(64) const float branchynet_weights[BRANCHYNET_N_WEIGHTS] = {{\n{_numbers(program.weights)}}};\n",
    ]
    return {
        "branchynet_model.h": f"{guard}{source.header(program)}{_EXTRA_DECLARATIONS}\n#endif\n",
        "branchynet_model.c": "\n".join(code),
    }


def _transform(plan):
    """C: `branchynet_transform`."""
    transform, n_channels = plan.transform, plan.in_shape[0]
    if isinstance(transform, Scale):
        lines = "    for (int i = 0; i < BRANCHYNET_N_INPUTS; i++) sample[i] = (float)pixels[i] / 255;"
    elif isinstance(transform, Normalise):
        lines = (
            f"    static const float mean[{n_channels}] = {{{_numbers(transform.mean)}}};\n"
            f"    static const float std[{n_channels}] = {{{_numbers(transform.std)}}};\n"
            f"    const int n_pixels = BRANCHYNET_N_INPUTS / {n_channels};\n"
            "    for (int i = 0; i < BRANCHYNET_N_INPUTS; i++)\n"
            "        sample[i] = ((float)pixels[i] / 255 - mean[i / n_pixels]) / std[i / n_pixels];"
        )
    else:
        raise CompileError(f"export: expected the transform scale or normalise, got {shown(transform)}")
    return f"void branchynet_transform(const uint8_t *pixels, float *sample)\n{{\n{lines}\n}}\n"


def _numbers(values):
    """C: float constants, some on each line."""
    words = [c_float(value) for value in values]
    lines = [", ".join(words[i : i + _NUMBERS_A_LINE]) for i in range(0, len(words), _NUMBERS_A_LINE)]
    return ",\n".join(lines)


def _quoted(text):
    """C: a string constant, in UTF-8."""
    plain = set(range(0x20, 0x7F)) - set(b'"\\?')
    codes = text.encode("utf-8", "surrogatepass")
    return '"' + "".join(chr(code) if code in plain else f"\\{code:03o}" for code in codes) + '"'
