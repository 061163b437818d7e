"""The CUDA C of a program: kernels.cuh, the stages, and the kernels that are launched.

Of a network whose numbers fit a block's shared memory, a batch is one kernel, `classify`: a block takes a sample
through the exits, and as soon as one is sure enough the block goes on to its next sample. Blocks know nothing of each
other, so one launch answers any batch, and nobody has to sort out who left. Of a larger network a batch is a sequence
of launches, a stage each, for the samples that are left; which those are, the GPU itself writes down at each exit.

One sample by itself is the kernel `classify_one`: all threads of one block, or of the whole grid where the network is
large, share each stage, with a barrier behind it. A few samples of a network that fits a block have a block each.

All kernels have the same parameters, so that one list of arguments serves them.
"""

from __future__ import annotations

import math
import pathlib
import typing

from branchynet.datasets.transforms import per_channel
from branchynet.inference.cuda.sharing import VECTOR
from branchynet.inference.cuda.stages import BLOCK, GRID, LAYER, LONE_BLOCK, Team
from branchynet.inference.native.images import rounded_up
from branchynet.inference.native.source import SCORES, score_expression
from branchynet.inference.reference import LARGEST

_KERNELS, _ONE_SAMPLE = (pathlib.Path(__file__).with_name(f"{name}.cuh") for name in ("kernels", "one_sample"))
# Floats that a block may keep in shared memory: 64 KB, which every GPU since Volta has.
BLOCK_FLOATS = 64 * 1024 // 4
# Floats of weights that a lone block fetches into its cache at its beginning, the first ones: 48 KB.
FETCHED_FLOATS = 48 * 1024 // 4
# Samples of a batch that a large network takes at a time.
MOST_SAMPLES = 1024

_PARAMETERS = """
/* samples: n x N_INPUTS numbers; thresholds: one for each exit, the last unread; rows: an answer for each sample;
 * messages: in memory of the host. Where a kernel needs them: memory, N_FLOATS floats for each sample; lists, who is
 * left; arrived, of the grid barrier. */
#define KERNEL(name, threads, resident)                                                                              \\
    extern "C" __global__ void __launch_bounds__(threads, resident)                                                   \\
        name(const float *weights, const SAMPLE *samples, int n, const float *thresholds, float *memory, int *lists,  \\
             unsigned long long *arrived, int *rows, volatile int *messages)
"""


def fits_block(program) -> bool:
    """Whether one block can keep a sample's numbers."""
    return _floats_of_one(program) + program.n_partial[LONE_BLOCK.name] <= BLOCK_FLOATS


def _floats_of_one(program):
    """Floats of the numbers of a sample by itself; the thresholds stand behind them, for the host's memory is far."""
    return rounded_up(program.n_floats + len(program.segments), VECTOR)


class Launch(typing.NamedTuple):
    """What a kernel is launched with.

    Attributes:
        team: the `Team` that computes.
        memory_floats: of each sample, in the GPU's memory.
        shared_floats: of each block, in shared memory.
    """

    team: Team
    memory_floats: int
    shared_floats: int


def launches(program) -> tuple:
    """(`Launch` of the kernel for one sample, of the kernels for a batch)."""
    floats_of_one = _floats_of_one(program)
    if fits_block(program):
        one = Launch(LONE_BLOCK, 0, floats_of_one + program.n_partial[LONE_BLOCK.name])
        return one, Launch(BLOCK, 0, program.n_floats)
    return Launch(GRID, floats_of_one, program.n_partial[GRID.name]), Launch(LAYER, program.n_floats, 0)


def kernel_names(program) -> tuple:
    """(kernel for one sample, the kernels for a batch in the order of their launches)."""
    if fits_block(program):
        return "classify_one", ("classify",)
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
    limit = f"#define LARGEST {LARGEST:.9e}f\n#define HAS_SCORES {int(measure is not None)}\n"
    kernels, scores, one_sample = (path.read_text(encoding="utf-8") for path in (_KERNELS, SCORES, _ONE_SAMPLE))
    teams = [launch.team.name for launch in launches(program)]
    used = {stage.functions[team] for segment in program.segments for stage in segment.stages for team in teams}
    functions = [text for name, text in program.functions.items() if name in used]
    of_batch = [_by_block(program, measure)] if fits_block(program) else [_take(program), *_layers(program, measure)]
    head = [limit, _sample(program.plan), kernels, scores, _sizes(program), one_sample]
    return "\n".join([*head, *functions, _PARAMETERS, _one(program, measure), *of_batch])


def _sample(plan):
    """What a sample is made of, and the number that the network reads: the transform's, in its order of operations."""
    head = "static __device__ __forceinline__ float number_of(SAMPLE value, int index)\n{\n    return"
    if not takes_pixels(plan):
        return f"#define SAMPLE float\n#define SAMPLE4 float4\n{head} value;\n}}\n"
    channels, *size = plan.in_shape
    arrays = "".join(
        f"static __device__ const float {name}[{channels}] = {{{', '.join(f'{value:.9e}f' for value in values)}}};\n"
        for name, values in zip(("MEAN", "STD"), per_channel(plan.transform, channels))
    )
    channel = f"index / {math.prod(size)}"
    sample = "#define SAMPLE unsigned char\n#define SAMPLE4 uchar4\n"
    return f"{sample}{arrays}{head} (value / 255.0f - MEAN[{channel}]) / STD[{channel}];\n}}\n"


def _sizes(program):
    sizes = {
        "N_EXITS": len(program.segments),
        "BRANCHYNET_N_CLASSES": program.segments[-1].logits.size,
        "N_INPUTS": program.source.size,
        "N_FLOATS": program.n_floats,
        "FLOATS_OF_ONE": _floats_of_one(program),
        "MOST_SAMPLES": MOST_SAMPLES,
    }
    constants = "\n".join(f"#define {name} {value}" for name, value in sizes.items())
    return f"#ifndef NAN\n#define NAN __int_as_float(0x7fc00000)\n#endif\n\n{constants}\n"


def _call(stage, team):
    function, shortcut = stage.functions[team.name], "0" if stage.shortcut is None else f"work + {stage.shortcut}"
    return f"{function}(work + {stage.source}, {shortcut}, weights + {stage.weights}, work + {stage.target}, team);"


def _through_the_exits(program, measure, team, barrier, thresholds):
    """One sample from its numbers in `work` to its answer, by a team that waits at a barrier behind each stage."""
    lines, indent = [], 8 * " "
    for index, segment in enumerate(program.segments):
        lines.append(f"/* exit {index + 1} */")
        for stage in segment.stages:
            lines += [_call(stage, team), barrier]
        is_last = index == len(program.segments) - 1
        lines.append(f"logits = work + {segment.logits.at};")
        lines.append("if (team.rank == 0) check_logits(logits, BRANCHYNET_N_CLASSES, messages);")
        lines.append(f"score = {score_expression(measure, index, 'cuda')};")
        lines.append(f"if (team.rank == 0) check_score(score, {index}, messages);")
        answer = f"write_answer(row, {index}, score, logits, BRANCHYNET_N_CLASSES, threadIdx.x, blockDim.x);"
        if team is GRID:  # every block knows the answer
            answer = f"if (blockIdx.x == 0) {answer}"
        if is_last:
            lines.append(answer)
        else:
            lines += [f"if (score < {thresholds}[{index}]) {{", f"    {answer}", "    continue;", "}"]
    return "\n".join(indent + line for line in lines)


def _by_block(program, measure):
    passage = _through_the_exits(program, measure, BLOCK, "__syncthreads();", "thresholds")
    return f"""\
/* A block a sample, its numbers in shared memory. */
KERNEL(classify, {BLOCK.block}, {BLOCK.resident})
{{
    SHARED_MEMORY(work);
    const struct team team = block_team(0);
    for (int sample = blockIdx.x; sample < n; sample += gridDim.x) {{
        int *row = rows + (long long)sample * (3 + BRANCHYNET_N_CLASSES);
        const float *logits;
        float score;
        __syncthreads(); /* all have read the logits of the sample before */
        take_sample(samples + (long long)sample * N_INPUTS, work + {program.source.at}, N_INPUTS, team, messages);
        __syncthreads();
{passage}
    }}
}}
"""


def _one(program, measure):
    (team, _, _), n_weights = launches(program)[0], min(FETCHED_FLOATS, len(program.weights))
    if team is LONE_BLOCK:
        who, work, partial, barrier = "block", "shared", "shared + FLOATS_OF_ONE", "__syncthreads();"
        counting, first, step = "", "blockIdx.x", "gridDim.x"
    else:  # what its cache holds is forgotten at each barrier
        who, work, partial, barrier, n_weights = "grid", "memory", "shared", "grid_barrier(arrived, &all);", 0
        counting, first, step = "\n    unsigned long long all = count_before(arrived);", 0, 1
    passage = _through_the_exits(program, measure, team, barrier, "limits")
    return f"""\
/* A {who} a sample. */
KERNEL(classify_one, {team.block}, {team.resident})
{{
    SHARED_MEMORY(shared);
    float *const work = {work}, *const limits = work + {program.n_floats};
    const struct team team = {who}_team({partial});
    /* One block asks for it and tells: what many ask of the host's memory comes to them one after another. */
    const int request = blockIdx.x == 0 && threadIdx.x == 0 ? messages[REQUEST] : 0;{counting}
    for (int sample = {first}; sample < n; sample += {step}) {{
        int *row = rows + (long long)sample * (3 + BRANCHYNET_N_CLASSES);
        const float *logits;
        float score;
        if (sample >= {step}) {barrier} /* all have read the logits of the sample before */
        take_lone_sample(samples + (long long)sample * N_INPUTS, thresholds, work + {program.source.at}, limits,
                         weights, {n_weights}, team, messages);
        {barrier}
{passage}
    }}
    if (blockIdx.x == 0) tell_host(messages, request);
}}
"""


def _take(program):
    return f"""\
/* A batch begins: all samples come to the first exit, none yet to the others. */
KERNEL(take, {LAYER.block}, {LAYER.resident})
{{
    const struct team team = grid_team(0);
    if (team.rank < N_EXITS) lists[team.rank] = team.rank == 0 ? n : 0;
    for (int i = team.rank; i < n; i += team.size) lists[N_EXITS + i] = i;
    for (int sample = blockIdx.x; sample < n; sample += gridDim.x)
        take_sample(samples + (long long)sample * N_INPUTS, memory + {program.source.at} + (long long)sample * N_FLOATS,
                    N_INPUTS, block_team(0), messages);
}}
"""


def _layers(program, measure):
    for index, segment in enumerate(program.segments):
        team = f"team_for_left(lists, N_EXITS, {index}, MOST_SAMPLES, N_FLOATS)"
        for number, stage in enumerate(segment.stages, start=1):
            yield f"""\
KERNEL(exit_{index + 1}_stage_{number}, {LAYER.block}, {LAYER.resident})
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
KERNEL(leave_{index + 1}, {LAYER.block}, {LAYER.resident})
{{
    const struct team team = {team};
    for (int i = team.rank; i < team.n_left; i += team.size) {{
        const int sample = team.left[i];
        const float *logits = memory + (long long)sample * N_FLOATS + {segment.logits.at};
        check_logits(logits, BRANCHYNET_N_CLASSES, messages);
        const float score = {score_expression(measure, index, "cuda")};
        check_score(score, {index}, messages);
        int *row = rows + (long long)sample * (3 + BRANCHYNET_N_CLASSES);
        if ({"1" if is_last else f"score < thresholds[{index}]"})
            write_answer(row, {index}, score, logits, BRANCHYNET_N_CLASSES, 0, 1);
{"" if is_last else f"        else{chr(10)}            {goes_on}{chr(10)}"}    }}
}}
"""
