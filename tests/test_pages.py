"""What README and docs show works: every Python block is executed, page by page, and does what the page says."""

import pathlib
import re

import chainer
import numpy as np
import pytest
from PIL import Image
from tiny import SHAPE, between, tiny_batch, tiny_net

from branchynet import datasets, run
from branchynet.datasets import Dataset, Samples
from branchynet.inference import compile_net, record_exits
from branchynet.thresholds import ExitCosts, choose_thresholds
from branchynet.training import JointLoss

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
LONGEST_README = 150


def blocks(page):
    """The Python blocks of a page."""
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def tiny_world(monkeypatch, tmp_path):
    """A folder with a picture, and a small data set in place of MNIST."""
    rng = np.random.default_rng(0)

    def samples(n):
        return Samples(rng.integers(0, 256, (n, 1, 28, 28)).astype(np.uint8), rng.integers(0, 10, n).astype(np.int32))

    dataset = Dataset("mnist", tuple("0123456789"), samples(5100), samples(30), "made by the test")
    monkeypatch.setattr(datasets, "load", lambda name, data_dir=None: dataset)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(samples(1).images[0, 0]).save("digit.png")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_python_block_runs_in_the_order_of_the_page(page, tiny_world, capsys):
    names = {}
    for block in blocks(page):
        exec(compile(block, page.name, "exec"), names)


def test_the_pages_with_python_have_it_all():
    assert {page.name: len(blocks(page)) for page in PAGES if blocks(page)} == {
        "README.md": 4, "confidence.md": 3, "inference.md": 5, "thresholds.md": 2, "training.md": 2, "trust.md": 1
    }  # fmt: skip


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= LONGEST_README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if not target.startswith("https://")]
    assert [target for target in local if not (page.parent / target).exists()] == []


def example(page, word):
    """The Python block of a page that a word occurs in, executed."""
    (block,) = [block for block in blocks(ROOT / "docs" / page) if word in block]
    exec(block, {})


def test_a_goal_of_ones_own():
    example("thresholds.md", "@register_goal")
    x, labels = tiny_batch(30)
    choice = choose_thresholds(record_exits(tiny_net(), x, labels), ExitCosts(np.array([1, 2, 3])), "same-T=0.25nats")
    assert choice.thresholds == (0.25, 0.25) and choice.rule == "T = 0.25 at every early exit"


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_measure_of_ones_own(share):
    example("confidence.md", "@register_measure")
    net, (x, labels) = tiny_net(), tiny_batch(30)
    threshold = between(record_exits(net, x, labels, measure="logit-gap").scores[0], share)
    expected = run(net, x, threshold, measure="logit-gap")
    compiled = compile_net(net, SHAPE, engine="arrays", measure="logit-gap")
    np.testing.assert_array_equal(compiled.run(x, threshold).exits, expected.exits)
    np.testing.assert_array_equal(compiled.run(x[:1], threshold).exits, expected.exits[:1])
    assert (expected.exits == 0).sum() == 1 + int(share * 29)


def test_a_weighting_of_ones_own():
    example("training.md", "@register_weighting")
    net = tiny_net()
    x, t = tiny_batch()
    loss = JointLoss(net, weighting="focal", loss_weights=(0, 0, 1))
    with chainer.using_config("train", False):
        right = chainer.functions.softmax(net(x)[-1]).array[np.arange(len(t)), t]
        np.testing.assert_allclose(loss(x, t).array, ((1 - right) ** 2 * -np.log(right)).mean(), rtol=1e-5)
