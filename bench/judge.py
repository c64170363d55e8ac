# SPDX-License-Identifier: GPL-2.0
"""What is promised of the figures that bench/compare measures, and whether it is kept."""

import math
from dataclasses import dataclass

from guests import Error

BASELINE, BACKEND = "baseline", "backend"
TOLERANCE = 1.02        # a target counts as missed when it is missed by more


@dataclass(frozen=True)
class Target:
    """At most SLOPE times the figure that a kernel has in the same run, in the same row or another, and MORE."""
    rows: tuple             # how the names start that this is the target of
    kernel: str = ""
    slope: float = 0
    more: int = 0
    other: str = ""

    def limit(self, name, costs):
        return round(costs[self.kernel][self.other or name] * self.slope if self.kernel else 0, 3) + self.more

    def __str__(self):
        if not self.kernel:
            return f"{self.more:,}"
        if self.other:
            return f"{self.slope:g} x {self.other.removesuffix('_call')}"
        return f"{self.kernel} + {self.more:,}" if self.more else f"{self.kernel} + {self.slope - 1:.1%}"


TARGETS = (
    Target(("munmap_1_", "munmap_512_", "munmap_8192_", "fork_"), BASELINE, 1.04),
    Target(("dontneed_page_", "dontneed_shifted_", "dontneed_untouched_", "mmap_", "touch_new_"), BACKEND, 1.005),
    Target(("dontneed_each_",), BACKEND, 1, 1700),
    Target(("dontneed_once_",), BACKEND, 1, 1200),
    Target(("reclaim_once_empty_",), BASELINE, 0.25, other="munmap_8192_emptied_call"),
    Target(("reclaim_each_empty_",), more=2500),
    Target(("reclaim_first_entry_",), more=90),
    Target(("reclaim_last_entry_",), more=950),
    Target(("reclaim_absent_",), more=18),
    Target(("reclaim_untouched_55t_",), more=16000),
)

# Row -> (figure of the best design tried, why there is no better one). The target is missed then, and no more than so.
# Each needs its profile (bench/profile ROW), which the report shows beside it.
BEYOND = {}

SLOTS = 512             # PMD slots that mmap_lock may be held for once a writer waits

# Series -> how the cost grows with the size: as size to the power of this.
GROWTH = {"reclaim_tables": 1, "reclaim_pmd_tables": 1, "reclaim_span_gib": 0}
EXPONENT_OFF = 0.02
POINT_OFF = 0.10        # of the curve
LEAST_POINTS, LEAST_RANGE = 5, 256


def judge_cost(name, costs, ours, beyond=None):
    """(target as text, limit, verdict) of one row; empty ones where nothing is promised."""
    beyond = BEYOND if beyond is None else beyond
    for target in TARGETS:
        if not name.startswith(target.rows):
            continue
        figure, limit = costs[ours][name], target.limit(name, costs)
        if not isinstance(figure, int):
            raise Error(f"{name}: {figure} on the kernel of flavour {ours}, so there is nothing to judge")
        if figure <= limit:
            verdict = "ok"
        elif figure <= limit * TOLERANCE:
            verdict = f"ok, {figure / limit - 1:.1%} over"
        elif name in beyond and figure <= beyond[name][0] * TOLERANCE:
            verdict = "beyond reach"
        else:
            verdict = f"MISSED by {figure / limit - 1:.1%}"
        return str(target), limit, verdict
    return "", None, ""


def fit(points):
    """(factor, exponent) of the power of size through {size: cost}, by least squares of the logarithms."""
    x, y = [math.log(size) for size in points], [math.log(cost) for cost in points.values()]
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    exponent = sum((a - middle_x) * (b - middle_y) for a, b in zip(x, y)) / sum((a - middle_x) ** 2 for a in x)
    return math.exp(middle_y - exponent * middle_x), exponent


def judge_growth(series, points):
    """(exponent, the farthest that a point is off the curve, verdict) of one series."""
    if len(points) < LEAST_POINTS or max(points) < LEAST_RANGE * min(points):
        raise Error(f"{series}: {len(points)} sizes say nothing about growth, {LEAST_POINTS} are needed, of which the largest is "
                    f"{LEAST_RANGE} times the smallest")
    factor, exponent = fit(points)
    worst = max(abs(cost / (factor * size ** exponent) - 1) for size, cost in points.items())
    if series not in GROWTH:
        return exponent, worst, ""
    good = abs(exponent - GROWTH[series]) <= EXPONENT_OFF and worst <= POINT_OFF
    return exponent, worst, "ok" if good else "MISSED"


def judge_slots(slots):
    return "ok" if slots <= SLOTS else "MISSED"
