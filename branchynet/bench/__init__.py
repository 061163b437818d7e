"""Latency, measured honestly: interleaved contenders, two clocks, answers held against the reference path.

`timing` has the clock, the one loop that interleaves, and intervals of ratios; `paths` what is timed; `agreement` the
check of the timed answers; `limits` what the multiply-adds allow; `cache` what the cache has to do with it. The room
knows nets, compiled or not; it knows no data set and no record.
"""
