"""Tests of branchynet.datasets, on data sets of a few pixels that are made here. None of them uses the network."""
