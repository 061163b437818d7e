"""A compiled plan as CUDA C: which kernel computes what, where the numbers lie, and the source.

It knows plans and operations, and what the native engine's room knows of programs in C and of scores; it knows
nothing of CuPy, for `branchynet.inference.engines.cuda` runs what is written here.
"""
