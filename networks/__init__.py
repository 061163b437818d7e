"""The networks of the paper, each one readable list: `get_network()` gives the list for `branchynet.BranchyNet`.

`zoo` is the table of all of them; `networks.load("lenet")` gives a trained one.
"""

import branchynet  # first: it makes Chainer importable

# isort: split
from networks.zoo import NETWORKS, Network, load

__all__ = ["NETWORKS", "Network", "load"]
