"""The last check: only the published arrays pass, and the message says what is wrong with others."""

import numpy as np
import pytest

from branchynet.datasets.verify import ARRAY_NAMES, identify, verify
from branchynet.errors import DataError

from . import tiny


@pytest.fixture
def arrays():
    return tiny.make_arrays()


def test_the_published_arrays_pass_however_they_lie_in_memory(arrays):
    spec = tiny.make_spec(arrays)
    assert verify(spec, arrays, "here") is None, "it complains by raising"
    assert verify(spec, {key: np.asfortranarray(array) for key, array in arrays.items()}, "here") is None


@pytest.mark.parametrize("key", ARRAY_NAMES)
@pytest.mark.parametrize(
    "change, message",
    [
        (lambda array: array ^ 1, "expected the sha256"),
        (lambda array: array[::-1], "expected the sha256"),
        (lambda array: array[:-1], "expected uint8 of shape"),
        (lambda array: array.reshape(-1, 1), "expected uint8 of shape"),
        (lambda array: array.view(np.int8), "got int8"),  # the same bytes with another meaning
        (lambda array: array.astype(np.float32), "got float32"),
    ],
)
def test_anything_else_is_an_error_that_names_place_data_set_and_array(arrays, key, change, message):
    spec = tiny.make_spec(arrays)
    with pytest.raises(DataError, match=f"^here: tiny: {key}: .*{message}"):
        verify(spec, {**arrays, key: change(arrays[key])}, "here")


@pytest.mark.parametrize("key", ARRAY_NAMES)
def test_a_missing_array_is_an_error(arrays, key):
    spec = tiny.make_spec(arrays)
    del arrays[key]
    with pytest.raises(DataError, match=f"{key} is missing"):
        verify(spec, arrays, "here")


def test_a_known_data_set_is_identified_by_its_content(arrays):
    other = tiny.make_arrays(seed=1)
    specs = [tiny.make_spec(arrays, name="first"), tiny.make_spec(other, name="second")]
    assert identify(other, specs) == "second"
    assert identify(tiny.make_arrays(seed=2), specs) is None
    assert identify({}, specs) is None
