"""The arrays engine: a plan as calls on NumPy or CuPy arrays. It is always there, on the CPU and on a GPU."""

from branchynet.inference.engines.arrays.engine import ArraysEngine as ENGINE
