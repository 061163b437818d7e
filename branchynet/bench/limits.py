"""What the multiply-adds allow early exit to gain."""

from __future__ import annotations


def gain_limits(plan, plain_plan, exit_pct) -> dict:
    """What the multiply-adds allow early exit to gain, and the break-even of each early exit.

    An early exit's head is paid by every sample that reaches it, and spares those that leave the rest of the trunk and
    the last head; it pays for itself from that share of leavers on at which both are equal. The heads of later early
    exits are left out: whether those pay is told of them.

    Args:
        plan: of the branchy network.
        plain_plan: of the plain network, `make_plain_plan`.
        exit_pct: share of all samples that leaves at each exit, percent.

    Returns:
        JSON-able: {plain_multiply_adds, multiply_add_limit_of_gain, early_exits: list of {exit, multiply_adds_to_leave,
        head_multiply_adds, break_even_pct_of_reaching, leaving_pct_of_reaching}}.
    """
    paths, plain_count = plan.path_multiply_adds(), plain_plan.path_multiply_adds()[0]
    expected = sum(share / 100 * count for share, count in zip(exit_pct, paths))
    exits, reaching_pct = [], 100.0
    for n, segment in enumerate(plan.segments[:-1]):
        behind = sum(later.trunk_multiply_adds for later in plan.segments[n + 1 :])
        behind += plan.segments[-1].head_multiply_adds
        exits.append(
            {
                "exit": n + 1,
                "multiply_adds_to_leave": paths[n],
                "head_multiply_adds": segment.head_multiply_adds,
                "break_even_pct_of_reaching": 100 * segment.head_multiply_adds / behind,
                "leaving_pct_of_reaching": 100 * exit_pct[n] / reaching_pct if reaching_pct else 0.0,
            }
        )
        reaching_pct -= exit_pct[n]
    return {
        "plain_multiply_adds": plain_count,
        "multiply_add_limit_of_gain": plain_count / expected,
        "early_exits": exits,
    }
