"""`avss plan`: time, memory and disk of a profile, and all that it lacks, before anything is downloaded."""

import argparse
import sys

from avss.errors import InputError
from avss.options import check_positive


def run(arguments: argparse.Namespace) -> int:
    """Print the estimate of each row; 2 where something is missing, of which each is a line on standard error."""
    import torch

    from avss.runs import plan, preflight
    from avss.runs.profile import load_profile

    for name, number in (("--flops", arguments.flops), ("--bandwidth", arguments.bandwidth)):
        if number is not None:
            check_positive(name, number)
    if arguments.revision and not arguments.row:
        raise InputError(f"--revision {arguments.revision} is given without --row; name the row whose model it is of")
    profile = load_profile(arguments.profile)
    rows = [profile.row(arguments.row, revision=arguments.revision)] if arguments.row else profile.rows
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if arguments.flops and arguments.bandwidth:
        found, source = plan.Rate(arguments.flops, arguments.bandwidth), "as given"
    else:
        measured = plan.measured(device, rows[0].dtype)
        found = plan.Rate(arguments.flops or measured.operations, arguments.bandwidth or measured.bytes)
        source = f"measured on {device} where not given"
    sizes = plan.sizes(rows)
    estimates = [plan.estimate(row, sizes[row.checkpoint], found) for row in rows]
    for line in plan.report(profile.name, estimates, "" if source == "as given" else device):
        print(line)
    print(f"rate: {plan.human(found.operations, 'FLOP/s')} and {plan.human(found.bytes, 'B/s')}, {source}")
    problems = [*preflight.problems(rows), *plan.too_large(estimates, plan.device_bytes(device))]
    for problem in problems:
        print(f"avss: error: {problem}", file=sys.stderr)
    return 2 if problems else 0
