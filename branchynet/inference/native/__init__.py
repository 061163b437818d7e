"""A plan as C: where numbers lie (`images`), what is called (`stages`, `builders`, `program`), and the text (`source`).

The engine `branchynet.inference.engines.native` compiles it, and `branchynet.inference.c_export` writes it out. The
kernels are in `kernels.h` and `tiles.h`. The room knows plans, operations and measures; no compiler, and no network.
"""
