"""The machine: devices, workers, threads, memory, files, the terminal. The only room that speaks to the system.

`devices` is the one gate to the GPU, `workers` are the processes that train together, `threads` and `memory` are what
the fast CPU functions compute with, `files` writes whole files or none, `terminal` shows how far work is. The room
knows no network.
"""
