"""OpenMax: the fit of its tails, and what it takes from the known classes."""

import math

import numpy as np
import pytest
from tiny import tiny_logits

from branchynet.confidence import ENTROPY
from branchynet.confidence.openmax import OpenMax, fit_weibull, weibull_cdf


def test_openmax_refuses_what_is_far_from_every_class(measures):
    logits, far = tiny_logits()[0][2], np.array([[200, 200, 0]], np.float32)
    assert measures["openmax"].refuses(2, far).tolist() == [True]
    assert measures["openmax"].refuses(2, logits).mean() < 0.2, "few of what it was fitted to"
    assert ENTROPY.refuses(2, far) is None, "it knows no such answer"


def test_a_weibull_fit_finds_the_distribution_that_was_drawn_from(rng):
    shape, scale = fit_weibull(2.5 * rng.weibull(4, size=4000))
    np.testing.assert_allclose([shape, scale], [4, 2.5], rtol=0.05)
    smaller = fit_weibull(1e-6 * rng.weibull(4, size=4000))
    np.testing.assert_allclose(smaller, [4, 1e-6], rtol=0.05)


def weibull_log_likelihood(distances, shape, scale):
    return sum(math.log(shape / scale) + (shape - 1) * math.log(d / scale) - (d / scale) ** shape for d in distances)


def test_a_weibull_fit_is_the_likeliest(rng):
    distances = rng.gamma(9, size=20)
    shape, scale = fit_weibull(distances)
    best = weibull_log_likelihood(distances, shape, scale)
    for step in (0.99, 1.01):
        assert weibull_log_likelihood(distances, step * shape, scale) < best
        assert weibull_log_likelihood(distances, shape, step * scale) < best
    expected = [1 - math.exp(-((d / scale) ** shape)) for d in distances]
    np.testing.assert_allclose(weibull_cdf(distances, shape, scale), expected)


@pytest.mark.parametrize("distances", [[], [3.0], [2.0, 2.0], [0.0, 0.0, 1.0]])
def test_where_there_is_no_tail_no_distance_is_far(distances):
    assert weibull_cdf(np.array([0.0, 1e9]), *fit_weibull(np.array(distances))).tolist() == [0, 0]


@pytest.mark.parametrize("direction", [(1, 1, 1), (-1, -1, -1), (1, 0, -1)])
def test_openmax_shrinks_the_known_classes_of_a_far_sample(direction, measures):
    measure = measures["openmax"]
    near = measure.mean_[2, :1].astype(np.float32)
    far = near + 30 * np.array([direction], np.float32)
    (known_near, unknown_near), (known_far, unknown_far) = measure.revise(2, near), measure.revise(2, far)
    assert unknown_near < 0.05 * known_near.max()
    assert unknown_far > known_far.max(), "most of it is unknown"
    assert known_far[0, 0] < 0.01 * (far[0, 0] - far.min()), "the best class keeps next to nothing"
    assert (known_far <= far - far.min()).all() and (known_far >= 0).all()
    np.testing.assert_allclose(known_far.sum() + unknown_far, (far - far.min()).sum(), rtol=1e-6)
    assert measure.scores(2, far) > measure.scores(2, near) + 0.3


def test_openmax_takes_less_from_a_worse_class():
    arrays = {"mean_": np.zeros((1, 4, 4)), "shape_": np.ones((1, 4)), "scale_": np.full((1, 4), 1e-9)}
    measure = OpenMax.from_arrays({"alpha": 3, "eta": 20}, arrays)
    known, unknown = measure.revise(0, np.array([[4, 3, 2, 1]], np.float32))
    np.testing.assert_allclose(known, [[0, 2 / 3, 2 / 3, 0]], atol=1e-12)
    np.testing.assert_allclose(unknown, [3 + 4 / 3 + 1 / 3])


def test_openmax_learns_from_right_answers_only():
    logits, labels = tiny_logits(100)
    moved, wrong = logits.copy(), logits[0].argmax(axis=1) != labels
    moved[0, wrong] *= 50
    assert wrong.any()
    np.testing.assert_array_equal(OpenMax().fit(moved, labels).mean_, OpenMax().fit(logits, labels).mean_)


def test_a_class_that_is_never_right_is_never_shrunk():
    logits, labels = tiny_logits(100)
    measure = OpenMax().fit(logits[:, labels != 1], labels[labels != 1])
    known, unknown = measure.revise(0, np.array([[0, 80, 0]], np.float32))
    assert known[0, 1] == 80 and unknown == 0
