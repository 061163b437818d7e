"""For each operation: the stage that computes it.

A builder takes the `Program`, the operation, whether a ReLU follows, the `Numbers` that the operation reads and whether
others read them later; it adds what is to be called, and returns the `Numbers` of the result.
"""

from __future__ import annotations

import math

import numpy as np

from branchynet.errors import CompileError
from branchynet.inference import operations as ops
from branchynet.inference.cuda.sharing import VECTOR, Layer, best_form
from branchynet.inference.cuda.stages import TEAMS, WARP, Numbers
from branchynet.inference.native.images import fitting_group, pack_groups
from branchynet.inference.native.stages import words

# Output channels that a thread computes at once: as many sums as it has registers to spare.
_GROUPS = (8, 7, 6, 5, 4)


def _listed(values):
    """C: arguments."""
    return ", ".join(map(str, values))


def _pack_groups(weights, bias, group):
    """`pack_groups` with each group rounded up to whole vectors."""
    rows = pack_groups(weights, bias, group).reshape(-1, group)
    return np.pad(rows, ((0, 0), (0, -group % VECTOR))).ravel()


def _convolve(program, operation, relu, source, out_shape, settings, shortcut=None):
    """The stage of a convolution, or of a fully connected layer as one of an image of one pixel.

    Args:
        settings: W (O, C, kh, kw), stride and pad.
        shortcut: (`Numbers` that are added, the stride over them) at the end of a residual block.
    """
    W, (stride_y, stride_x), pad = settings
    (n_outputs, channels, kh, kw), (in_h, in_w) = W.shape, source.shape[1:]
    group, target = fitting_group(n_outputs, _GROUPS), program.new(out_shape)
    added, stride = shortcut or (Numbers(0, (0, 0, 0)), 0)
    numbers = f"in, {{shortcut, {_listed((*added.shape, stride))}}}, weights, out, team"
    sizes = (channels, in_h, in_w, stride_y, *pad, *out_shape, int(relu))
    calls = {}
    for team in TEAMS:
        if team.n_blocks:
            layer = Layer(group, *out_shape, channels * kh, kw, stride_x)
            form = best_form(team, layer)
            program.n_partial[team.name] = max(program.n_partial[team.name], form.n_partial(team, layer))
            kernel, of_team = f"shared_convolution<{_listed((group, *form, kh, kw, stride_x))}>", numbers
        else:
            pixels = min(team.pixels, out_shape[2])
            n_tiles = -(-n_outputs // group) * out_shape[1] * -(-out_shape[2] // pixels)
            parts = _parts(team, isinstance(operation, ops.Linear), n_tiles, channels * kh)
            kernel, of_team = f"convolution<{_listed((group, pixels, kh, kw, stride_x))}>", f"{numbers}, {parts}"
        calls[team] = f"{kernel}({of_team}, {_listed(sizes)})"
    comment = f"convolution {words(W.shape[2:])}, stride {stride_y}x{stride_x}, padding {words(pad)}"
    kind = "convolution"
    if isinstance(operation, ops.Linear):
        kind = comment = "fully_connected"
    shapes = f"{words(source.shape)} -> {words(out_shape)}" + (", ReLU" if relu else "")
    name = f"{kind}_{words(source.shape)}_to_{words(out_shape)}"
    weights = program.pack(_pack_groups(W, operation.b, group))
    program.add(name, f"{comment}: {shapes}", calls, source, target, weights, added.at if shortcut else None)
    return target


def _parts(team, is_linear, n_tiles, n_lines):
    """Threads that compute a tile together; 0 where only the kernel knows, by how many samples are left."""
    # A thread that has a fully connected output for itself would read its weights far from its neighbours'.
    if not is_linear and not team.sharing:
        return 0
    n_sharing = WARP if is_linear else team.sharing // n_tiles
    return 1 << max(1, min(WARP, n_sharing, n_lines)).bit_length() - 1


def _convolution(program, operation, relu, source, is_kept):
    settings = (operation.W, operation.stride, operation.pad)
    return _convolve(program, operation, relu, source, operation.out_shape(source.shape), settings)


def _linear(program, operation, relu, source, is_kept):
    W = operation.W[:, :, None, None]
    flat = Numbers(source.at, (W.shape[1], 1, 1))
    return _convolve(program, operation, relu, flat, (len(W), 1, 1), (W, (1, 1), (0, 0)))


def _pooling(kind):
    def build(program, operation, relu, source, is_kept):
        out_shape = operation.out_shape(source.shape)
        target = program.new(out_shape)
        sizes = (*source.shape, *operation.ksize, *operation.stride, *operation.pad, *out_shape[1:])
        program.add(
            f"{kind}_pooling_{words(source.shape)}_to_{words(out_shape)}",
            f"{kind} pooling {words(operation.ksize)}, stride {words(operation.stride)}: "
            f"{words(source.shape)} -> {words(out_shape)}",
            f"pooling(in, out, team, {_listed(sizes)}, {int(kind == 'max')})",
            source,
            target,
        )
        return target

    return build


def _local_response_normalization(program, operation, relu, source, is_kept):
    target = program.new(source.shape)
    sizes = (source.shape[0], math.prod(source.shape[1:]), operation.n)
    constants = [f"{float(np.float32(value)):.9e}f" for value in (operation.k, operation.alpha, operation.beta)]
    program.add(
        f"normalise_{words(source.shape)}",
        f"local response normalisation over {operation.n} channels: {words(source.shape)}",
        f"local_response_normalization(in, out, team, {_listed((*sizes, *constants))})",
        source,
        target,
    )
    return target


def _scale(program, operation, relu, source, is_kept):
    weights = program.pack(np.concatenate([operation.scale, operation.shift]))
    return _number_by_number(program, "scale", relu, source, is_kept, "weights", weights)


def _relu(program, operation, relu, source, is_kept):
    return _number_by_number(program, "relu", relu, source, is_kept, factors="0")


def _number_by_number(program, kind, relu, source, is_kept, factors, weights=0):
    """A stage that may write where it reads; factors: C, the address of scale and shift, 0 for neither."""
    target = program.new(source.shape) if is_kept else source
    sizes = (source.shape[0], math.prod(source.shape[1:]), int(relu))
    call = f"scale(in, {factors}, out, team, {_listed(sizes)})"
    program.add(f"{kind}_{words(source.shape)}", f"{kind}: {words(source.shape)}", call, source, target, weights)
    return target


def _residual(program, operation, relu, source, is_kept):
    if not operation.body or not isinstance(operation.body[-1], ops.Convolution):
        names = ", ".join(type(inner).__name__ for inner in operation.body)
        raise CompileError(f"the cuda engine: expected a residual block that ends in a Convolution, got ({names})")
    *body, last = operation.body
    inner = program.sequence(body, source, keep=True)
    settings, out_shape = (last.W, last.stride, last.pad), last.out_shape(inner.shape)
    result = _convolve(program, last, relu, inner, out_shape, settings, (source, operation.stride))
    if inner is not source:
        program.forget(inner)
    return result


BUILDERS = {
    ops.Convolution: _convolution,
    ops.Linear: _linear,
    ops.Scale: _scale,
    ops.Relu: _relu,
    ops.MaxPooling: _pooling("max"),
    ops.AveragePooling: _pooling("average"),
    ops.LocalResponseNormalization: _local_response_normalization,
    ops.Residual: _residual,
}
