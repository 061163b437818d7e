"""The networks of the paper, each one readable list: `get_network()` gives the list for `branchynet.BranchyNet`."""

import branchynet  # noqa: F401  (first: it makes Chainer importable)
