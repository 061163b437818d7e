"""The networks of the paper, each one readable list: `get_network()` gives the list for `branchynet.BranchyNet`."""
