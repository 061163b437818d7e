"""The native engine's convolutions by tiles (Winograd's minimal filtering)."""

import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from tiny import N_CLASSES, SHAPE, drawn_net

from branchynet import FL, Branch, run
from branchynet.datasets import scale
from branchynet.inference import compile_net
from branchynet.inference.c_export import export_c
from branchynet.inference.native import images
from branchynet.inference.native.program import Program
from branchynet.inference.plan import make_plan
from branchynet.links import Convolution2D
from branchynet.machine import compilers, winograd

needs_compiler = pytest.mark.skipif(compilers.find_compiler() is None, reason="no C compiler is here")


def wide_net():
    """A network with convolutions by tiles, the last ones of which reach past the border."""

    def build():
        first = [Convolution2D(1, 20, 2, pad=1), FL(F.relu), Branch([L.Linear(None, N_CLASSES)])]
        second = [Convolution2D(20, 17, 3, pad=1), FL(F.relu), Convolution2D(17, 18, 3), FL(F.relu)]
        third = [Convolution2D(18, 33, 5, pad=2), Branch([FL(F.relu), L.Linear(None, N_CLASSES)])]
        return [*first, *second, Branch([L.Linear(None, N_CLASSES)]), *third]

    return drawn_net(build, SHAPE)


def test_convolutions_of_many_channels_are_computed_by_tiles():
    functions = Program(make_plan(wide_net())).functions
    calls = {name: text.partition("convolution_of_tiles(")[2].split(", ") for name, text in functions.items()}
    assert {name: (words[7], words[8]) for name, words in calls.items() if len(words) > 1} == {
        "convolution_20x7x7_to_17x7x7": ("6", "4"),
        "convolution_17x7x7_to_18x5x5": ("8", "6"),
        "convolution_18x5x5_to_33x5x5": ("8", "4"),
    }, "pixels and outputs of a tile in a row"


@needs_compiler
@pytest.mark.parametrize("size", [5, 8, 12])
@pytest.mark.parametrize("form", [(3, 2), (3, 4), (3, 6), (5, 2), (5, 4)])
def test_tiles_of_every_form(monkeypatch, rng, form, size):
    monkeypatch.setattr(winograd, "_FORMS", [form])
    monkeypatch.setattr(winograd, "_LARGEST_SHARE", 9)
    monkeypatch.setattr(Program, "_planar_is_less_work", lambda self: False)
    layers = [Convolution2D(17, 20, form[0], pad=form[0] // 2), FL(F.relu), Branch([L.Linear(None, N_CLASSES)])]
    net, x = drawn_net(lambda: layers, (17, size, size)), rng.normal(size=(3, 17, size, size)).astype(np.float32)
    assert "convolution_of_tiles(" in "".join(Program(make_plan(net)).functions.values())
    np.testing.assert_allclose(compile_net(net, engine="native").run(x, ()).logits, run(net, x, ()).logits, atol=1e-5)


def test_the_sizes_of_a_block_are_those_of_the_c():
    assert f"#define MOST {images._MOST_TILES} " in compilers.VECTORS.read_text()
    assert f"#define PLACE_GAP {images._PLACE_GAP} " in compilers.WINOGRAD.read_text()
    assert f"#define SLACK {images.SLACK} " in compilers.VECTORS.read_text()


def test_without_tiles_the_exported_weights_take_less_room(tmp_path):
    n_weights, computes_by_tiles = {}, {}
    for tiles in (True, False):
        export_c(wide_net(), 0.5, tmp_path / str(tiles), scale, tiles=tiles)
        header, code = ((tmp_path / str(tiles) / f"branchynet_model.{end}").read_text() for end in "hc")
        n_weights[tiles] = int(header.split("BRANCHYNET_N_WEIGHTS ")[1].split()[0])
        computes_by_tiles[tiles] = "convolution_of_tiles(in, " in code
    assert 2 * n_weights[False] < n_weights[True]
    assert computes_by_tiles == {True: True, False: False}
