"""Numbers for prose, looked up by address in the results or in a benchmark's file, each with its basis.

    reference/sst2-minilm/avss/retention                profile, row, method, quantity; for AVSS the reading `paper`
    reference/sst2-minilm/avss/released-code/value      the same of another reading
    mini/reviews-mini-llama-1b/avss/less_random         its lead over `random`; also `less_last`, `less_avss`
    mini/reviews-mini-llama-1b/avss/blocks              the blocks that most seeds removed, in words
    printed/sst2-distilbert/gbis/value                  the paper's Table 1
    bench/methods-cpu/rows/method=lrp/time_ratio        in bench/results/methods-cpu.json
    count/decoders/avss/retention<random                in how many measurements of a group something holds
    count/decoders/avss/retention                       in how many of them it is measured
    count/decoders/measurements, count/decoders/models  how many there are
    lowest/decoders/block_influence/retention           also `highest`, `mean` and `geomean`, over a group

`avss.report.addresses` lists the quantities, `avss.report.counted` groups and conditions. After the address may follow
a format of Python (`.2f`, `.1%`), ` with interval` and ` or not measured`, in this order. Add ` or not measured` if the
run may be missing; otherwise a missing run is an error. Nothing here needs torch.
"""

import re
from functools import cache

from avss.errors import InputError
from avss.report.addresses import BENCH, NotMeasured, Number, of_benchmark, of_row
from avss.report.counted import COUNT, FOLDS, counted, folded
from avss.report.markdown import NOT_MEASURED
from avss.report.snapshot import Results

_REQUEST = re.compile(
    r"(?P<address>\S+)(?: (?P<form>\+?,?(?:\.\d+)?[efg%]))?(?P<interval> with interval)?(?P<open> or not measured)?"
)


def spoken(request: str, results: Results) -> tuple[str, str]:
    """The text that a page shows for a request, and the basis of the number.

    Raises `InputError` for a request that cannot be read, an address that leads nowhere, and a number that no run has
    measured, unless the request allows for that.
    """
    return told(request, results)[:2]


def told(request: str, results: Results) -> tuple[str, str, Number | None]:
    """The same, and the number itself; None where no run has measured it."""
    match = _REQUEST.fullmatch(" ".join(request.split()))
    if not match:
        raise InputError(f"{request!r} is no number; write an address, then for instance .2f; see avss.report.cited")
    try:
        number = look_up_number(match["address"], results)
    except NotMeasured as error:
        if not match["open"]:
            raise
        return NOT_MEASURED, str(error), None
    return number.text(match["form"], bool(match["interval"])), number.basis(match["form"]), number


@cache
def look_up_number(address: str, results: Results) -> Number:
    """The number at an address. Raises `InputError`, and `NotMeasured` where only the run is missing."""
    kind, *rest = address.split("/")
    if len(rest) > 1:
        if kind == BENCH:
            return of_benchmark(address, results)
        if kind == COUNT:
            return counted(address, results)
        if kind in FOLDS:
            return folded(address, results)
    return of_row(address, results)
