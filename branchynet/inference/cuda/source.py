"""The CUDA C of a program: kernels.cuh, the stages, and the kernels that are launched.

A network whose numbers fit a block's shared memory is one kernel, `classify`: a block takes a sample through the exits,
and as soon as one is sure enough the block goes on to its next sample. Blocks know nothing of each other, so one launch
answers any batch, and nobody has to sort out who left.

Of a larger network one sample is computed by the whole grid, `classify_one`, with a barrier behind each stage. A batch
is a sequence of launches, a stage each, for the samples that are left; which those are, the GPU itself writes down at
each exit.

All kernels have the same parameters, so that one list of arguments serves them.
"""

from __future__ import annotations

import math
import pathlib

from branchynet.datasets.transforms import per_channel
from branchynet.inference.cuda.stages import BLOCK, GRID, LAYER
from branchynet.inference.native.source import SCORES, score_expression
from branchynet.inference.reference import LARGEST

_KERNELS = pathlib.Path(__file__).with_name("kernels.cuh")
# Floats of one sample's numbers that a block may keep in shared memory: 96 KB, which every GPU since Volta has.
BLOCK_FLOATS = 96 * 1024 // 4
THREADS = {"block": 256, "grid": 512, "layer": 256}
# Samples of a batch that a large network takes at a time.
MOST_SAMPLES = 1024

_PARAMETERS = """
/* samples: n x N_INPUTS numbers; thresholds: one for each early exit; rows: an answer for each sample; messages: in
 * memory of the host. Where a kernel needs them: memory, N_FLOATS floats for each sample; lists, who is left; arrived,
 * of the grid barrier. */
#define KERNEL(name, threads)                                                                                        \\
    extern "C" __global__ void __launch_bounds__(threads)                                                            \\
        name(const float *weights, const SAMPLE *samples, int n, const float *thresholds, float *memory, int *lists,  \\
             unsigned long long *arrived, int *rows, volatile int *messages)
"""


def fits_block(program) -> bool:
    """Whether one block can keep a sample's numbers."""
    return program.n_floats <= BLOCK_FLOATS


def kernel_names(program) -> tuple:
    """(kernel for one sample, the kernels for a batch in the order of their launches)."""
    if fits_block(program):
        return "classify", ("classify",)
    names = ["take"]
    for number, segment in enumerate(program.segments, start=1):
        names += [f"exit_{number}_stage_{stage}" for stage in range(1, len(segment.stages) + 1)]
        names.append(f"leave_{number}")
    return "classify_one", tuple(names)


def takes_pixels(plan) -> bool:
    """Whether the kernels make samples of uint8 images themselves: the plan has a transform, and they know it."""
    return per_channel(plan.transform, plan.in_shape[0]) is not None


def whole_source(program, measure) -> str:
    """One file of CUDA C.

    Args:
        program: `branchynet.inference.cuda.program.Program`.
        measure: a `branchynet.confidence.Measure`; None for no score.

    Raises:
        CompileError: a measure that the kernels do not know.
    """
    # Larger samples are refused, as on every path.
    limit = f"#define LARGEST {LARGEST:.9e}f\n"
    kernels, scores = (path.read_text(encoding="utf-8") for path in (_KERNELS, SCORES))
    teams = ("block",) if fits_block(program) else ("grid", "layer")
    used = {stage.functions[team] for segment in program.segments for stage in segment.stages for team in teams}
    functions = [text for name, text in program.functions.items() if name in used]
    written = [_by_block(program, measure)] if fits_block(program) else [_by_grid(program, measure)]
    if not fits_block(program):
        written += [_take(program), *_layers(program, measure)]
    return "\n".join(
        [limit, _sample(program.plan), kernels, scores, _sizes(program), *functions, _PARAMETERS, *written]
    )


def _sample(plan):
    """What a sample is made of, and the number that the network reads: the transform's, in its order of operations."""
    head = "static __device__ __forceinline__ float number_of(SAMPLE value, int index)\n{\n    return"
    if not takes_pixels(plan):
        return f"#define SAMPLE float\n{head} value;\n}}\n"
    channels, *size = plan.in_shape
    arrays = "".join(
        f"static __device__ const float {name}[{channels}] = {{{', '.join(f'{value:.9e}f' for value in values)}}};\n"
        for name, values in zip(("MEAN", "STD"), per_channel(plan.transform, channels))
    )
    channel = f"index / {math.prod(size)}"
    return f"#define SAMPLE unsigned char\n{arrays}{head} (value / 255.0f - MEAN[{channel}]) / STD[{channel}];\n}}\n"


def _sizes(program):
    sizes = {
        "N_EXITS": len(program.segments),
        "BRANCHYNET_N_CLASSES": program.segments[-1].logits.size,
        "N_INPUTS": program.source.size,
        "N_FLOATS": program.n_floats,
        "MOST_SAMPLES": MOST_SAMPLES,
    }
    constants = "\n".join(f"#define {name} {value}" for name, value in sizes.items())
    return f"#ifndef NAN\n#define NAN __int_as_float(0x7fc00000)\n#endif\n\n{constants}\n"


def _call(stage, team):
    function = stage.functions[team.name]
    return f"{function}(work + {stage.source}, weights + {stage.weights}, work + {stage.target}, team);"


def _through_the_exits(program, measure, team, barrier, indent):
    """One sample from its numbers in `work` to its answer, by a team that waits at a barrier behind each stage."""
    lines = []
    for index, segment in enumerate(program.segments):
        lines.append(f"/* exit {index + 1} */")
        for stage in segment.stages:
            lines += [_call(stage, team), barrier]
        is_last = index == len(program.segments) - 1
        lines.append(f"logits = work + {segment.logits.at};")
        lines.append("if (team.rank == 0) check_logits(logits, BRANCHYNET_N_CLASSES, messages);")
        lines.append(f"score = {score_expression(measure, index, 'cuda')};")
        answer = f"write_answer(row, {index}, score, logits, BRANCHYNET_N_CLASSES, threadIdx.x, blockDim.x);"
        if team is GRID:  # every block knows the answer
            answer = f"if (blockIdx.x == 0) {answer}"
        if is_last:
            lines.append(answer)
        else:
            lines += [f"if (score < thresholds[{index}]) {{", f"    {answer}", "    continue;", "}"]
    return "\n".join(indent + line for line in lines)


def _by_block(program, measure):
    passage = _through_the_exits(program, measure, BLOCK, "__syncthreads();", 8 * " ")
    return f"""\
/* A block a sample, its numbers in shared memory. */
KERNEL(classify, {THREADS["block"]})
{{
    SHARED_MEMORY(work);
    const struct team team = block_team();
    for (int sample = blockIdx.x; sample < n; sample += gridDim.x) {{
        int *row = rows + (long long)sample * (3 + BRANCHYNET_N_CLASSES);
        const float *logits;
        float score;
        __syncthreads(); /* all have read the logits of the sample before */
        take_sample(samples + (long long)sample * N_INPUTS, work + {program.source.at}, N_INPUTS, team, messages);
        __syncthreads();
{passage}
    }}
    if (gridDim.x == 1) tell_host(messages);
}}
"""


def _by_grid(program, measure):
    passage = _through_the_exits(program, measure, GRID, "grid_barrier(arrived);", 8 * " ")
    return f"""\
/* The whole grid on one sample after another; every block comes to the same decisions. */
KERNEL(classify_one, {THREADS["grid"]})
{{
    float *work = memory;
    const struct team team = grid_team();
    for (int sample = 0; sample < n; sample++) {{
        int *row = rows + (long long)sample * (3 + BRANCHYNET_N_CLASSES);
        const float *logits;
        float score;
        if (sample) grid_barrier(arrived); /* all have read the logits of the sample before */
        take_sample(samples + (long long)sample * N_INPUTS, work + {program.source.at}, N_INPUTS, team, messages);
        grid_barrier(arrived);
{passage}
    }}
    if (blockIdx.x == 0) tell_host(messages);
}}
"""


def _take(program):
    return f"""\
/* A batch begins: all samples come to the first exit, none yet to the others. */
KERNEL(take, {THREADS["layer"]})
{{
    const struct team team = grid_team();
    if (team.rank < N_EXITS) lists[team.rank] = team.rank == 0 ? n : 0;
    for (int i = team.rank; i < n; i += team.size) lists[N_EXITS + i] = i;
    for (int sample = blockIdx.x; sample < n; sample += gridDim.x)
        take_sample(samples + (long long)sample * N_INPUTS, memory + {program.source.at} + (long long)sample * N_FLOATS,
                    N_INPUTS, block_team(), messages);
}}
"""


def _layers(program, measure):
    for index, segment in enumerate(program.segments):
        team = f"team_for_left(lists, N_EXITS, {index}, MOST_SAMPLES, N_FLOATS)"
        for number, stage in enumerate(segment.stages, start=1):
            yield f"""\
KERNEL(exit_{index + 1}_stage_{number}, {THREADS["layer"]})
{{
    float *work = memory;
    const struct team team = {team};
    {_call(stage, LAYER)}
}}
"""
        is_last = index == len(program.segments) - 1
        goes_on = f"lists[N_EXITS + {index + 1} * MOST_SAMPLES + atomicAdd(&lists[{index + 1}], 1)] = sample;"
        yield f"""\
/* Who is sure enough leaves, the others come to the next exit. */
KERNEL(leave_{index + 1}, {THREADS["layer"]})
{{
    const struct team team = {team};
    for (int i = team.rank; i < team.n_left; i += team.size) {{
        const int sample = team.left[i];
        const float *logits = memory + (long long)sample * N_FLOATS + {segment.logits.at};
        check_logits(logits, BRANCHYNET_N_CLASSES, messages);
        const float score = {score_expression(measure, index, "cuda")};
        int *row = rows + (long long)sample * (3 + BRANCHYNET_N_CLASSES);
        if ({"1" if is_last else f"score < thresholds[{index}]"})
            write_answer(row, {index}, score, logits, BRANCHYNET_N_CLASSES, 0, 1);
{"" if is_last else f"        else{chr(10)}            {goes_on}{chr(10)}"}    }}
}}
"""
