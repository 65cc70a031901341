"""Who judges which report, in which order and with the drafts on which side: drawn once, from a stored seed.

Full: every rater judges every report. Balanced incomplete blocks: each report by k of the raters, so that raters carry
loads that differ by one report at most and every two of them share as nearly the same number of reports as can be.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from radllama.errors import InputError

# A report comes again only after so many others: until then a rater would remember the answer.
REPEAT_GAP = 10
_SWAPS_A_REPORT = 400


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a rater's: the report and the places (in `systems`) of its drafts, first to last."""

    report: int
    order: tuple[int, ...]
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class Design:
    """The sequences of all raters: `seats[r]` is what rater r sees, one page after the other."""

    reports: int
    systems: int
    per_report: int
    repeat_share: float
    seed: int
    seats: tuple[tuple[Page, ...], ...]

    @property
    def kind(self) -> str:
        """Either "full" or "balanced"."""
        return "full" if self.per_report == len(self.seats) else "balanced"


def make_design(
    reports: int, systems: int, raters: int, per_report: int | None = None, repeat_share: float = 0.1, seed: int = 0
) -> Design:
    """Draw a design. Raises InputError for numbers that make none."""
    per_report = raters if per_report is None else per_report
    if problem := _problem(reports, systems, raters, per_report, repeat_share):
        raise InputError(problem)
    rng = random.Random(seed)
    blocks = _draw_blocks(reports, raters, per_report, rng)
    seats = []
    for rater in range(raters):
        mine = [report for report in range(reports) if rater in blocks[report]]
        rng.shuffle(mine)
        again = [(report, 1) for report in _draw_repeats(mine, repeat_share, rng)]
        sequence = _insert([(report, 0) for report in mine], again, rng)
        orders = _draw_orders(len(sequence), systems, rng)
        seats.append(tuple(Page(report, order, n) for (report, n), order in zip(sequence, orders, strict=True)))
    return Design(reports, systems, per_report, repeat_share, seed, tuple(seats))


def _problem(reports: int, systems: int, raters: int, per_report: int, repeat_share: float) -> str | None:
    if reports < 1 or systems < 1:
        return "a study needs at least one report and one system"
    if raters < 1:
        return f"--raters {raters}: a study needs at least one rater"
    if not 1 <= per_report <= raters:
        return f"--per-report {per_report}: expected 1 to {raters}, the number of raters"
    if not 0 <= repeat_share <= 0.5:
        return f"--repeat {repeat_share}: expected a share of 0 to 0.5"
    if reports * per_report < raters:
        return f"{reports} reports by {per_report} each leave some of {raters} raters without one; invite fewer"
    return None


def _draw_blocks(reports: int, raters: int, per_report: int, rng: random.Random) -> list[set[int]]:
    """Which raters judge each report."""
    if per_report == raters:
        return [set(range(raters)) for _ in range(reports)]
    loads, pairs = [0] * raters, [[0] * raters for _ in range(raters)]
    blocks: list[set[int]] = []
    for _ in range(reports):
        block: set[int] = set()
        for _ in range(per_report):
            # The least loaded first: that alone keeps the loads within one report of each other.
            rater = min(
                (one for one in range(raters) if one not in block),
                key=lambda one: (loads[one], sum(pairs[one][other] for other in block), rng.random()),
            )
            for other in block:
                pairs[rater][other] += 1
                pairs[other][rater] += 1
            block.add(rater)
            loads[rater] += 1
        blocks.append(block)
    _even_out(blocks, pairs, rng)
    return blocks


def _even_out(blocks: list[set[int]], pairs: list[list[int]], rng: random.Random) -> None:
    """Exchange raters between reports, which keeps their loads, while that brings the counts of pairs together."""
    spread = _spread(pairs)
    for _ in range(_SWAPS_A_REPORT * len(blocks)):
        if spread <= 1:
            return
        first, second = rng.randrange(len(blocks)), rng.randrange(len(blocks))
        only_first, only_second = sorted(blocks[first] - blocks[second]), sorted(blocks[second] - blocks[first])
        if not only_first:
            continue
        out, into = rng.choice(only_first), rng.choice(only_second)
        # Those who lose `out` and gain `into`, and the other way round; who sits in both blocks sees no change.
        gain_into = blocks[first] - blocks[second] - {out}
        gain_out = blocks[second] - blocks[first] - {into}
        # Half of what the sum of the squared counts grows by; sideways steps lead out of dead ends.
        growth = sum(1 - pairs[out][one] + pairs[into][one] for one in gain_into)
        growth += sum(1 - pairs[into][one] + pairs[out][one] for one in gain_out)
        if growth > 0:
            continue
        for others, leaving, coming in ((gain_into, out, into), (gain_out, into, out)):
            for one in others:
                for rater, step in ((leaving, -1), (coming, 1)):
                    pairs[rater][one] += step
                    pairs[one][rater] += step
        blocks[first] = blocks[first] - {out} | {into}
        blocks[second] = blocks[second] - {into} | {out}
        if growth < 0:
            spread = _spread(pairs)


def _spread(pairs: list[list[int]]) -> int:
    counts = [pairs[a][b] for a in range(len(pairs)) for b in range(a)]
    return max(counts) - min(counts)


def _draw_repeats(mine: Sequence[int], share: float, rng: random.Random) -> list[int]:
    # Of the first part alone: a repeat needs others before it.
    count = round(share * len(mine))
    early = mine[: max(len(mine) - REPEAT_GAP, (len(mine) + 1) // 2)]
    return sorted(rng.sample(early, min(count, len(early))), key=mine.index)


def _insert(first: list[tuple[int, int]], again: list[tuple[int, int]], rng: random.Random) -> list[tuple[int, int]]:
    sequence = list(first)
    for report, repeat in again:
        earliest = sequence.index((report, 0)) + 1 + min(REPEAT_GAP, len(first) - 1 - first.index((report, 0)))
        sequence.insert(rng.randint(earliest, len(sequence)), (report, repeat))
    return sequence


def _draw_orders(pages: int, systems: int, rng: random.Random) -> list[tuple[int, ...]]:
    """Orders in which each system stands in each place equally often: shuffled Latin squares, one after another."""
    orders: list[tuple[int, ...]] = []
    while len(orders) < pages:
        row = rng.sample(range(systems), systems)
        square = [tuple(row[shift:] + row[:shift]) for shift in range(systems)]
        orders += rng.sample(square, systems)
    return orders[:pages]


def describe_design(design: Design) -> list[tuple[str, str]]:
    """What to know of a design before it starts, as (name, value)."""
    seats = design.seats
    firsts = [sum(not page.repeat for page in seat) for seat in seats]
    repeats = [sum(page.repeat for page in seat) for seat in seats]
    by = f"all {len(seats)}" if design.kind == "full" else f"{design.per_report} of {len(seats)}"
    rows = [
        ("design", f"{design.kind}: each report by {by} raters"),
        ("reports", f"{design.reports}, each with {design.systems} drafts"),
        ("pages a rater", f"{_span(firsts)} reports and {_span(repeats)} of them again"),
    ]
    if len(seats) > 1:
        rows.append(("two raters share", f"{_span(list(shared_reports(design).values()))} reports"))
    places = place_counts(design)
    rows.append(("a system stands first", f"{_span([places[system, 0] for system in range(design.systems)])} times"))
    rows.append(("seed", str(design.seed)))
    return rows


def shared_reports(design: Design) -> dict[tuple[int, int], int]:
    """How many reports each two raters share."""
    judged = [{page.report for page in seat} for seat in design.seats]
    return {(a, b): len(judged[a] & judged[b]) for a, b in combinations(range(len(judged)), 2)}


def place_counts(design: Design) -> Counter[tuple[int, int]]:
    """How often each system stands in each place: {(system, place): times}."""
    return Counter((system, place) for seat in design.seats for page in seat for place, system in enumerate(page.order))


def _span(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"
