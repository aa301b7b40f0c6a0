"""The rows of the table: printed for people, and written as JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.measure import Figure


@dataclass(frozen=True)
class Row:
    """One comparison. `size` says how much of what; `target` is what the ratio shall be.

    `ratio` is the peer's time through ours: above 1 we are ahead.
    """

    name: str
    size: str
    ours: Figure
    peer: str
    peers: Figure
    target: str = ""
    remark: str = ""

    @property
    def ratio(self) -> float:
        return self.peers.seconds / self.ours.seconds


@dataclass(frozen=True)
class Count:
    """How many `of` some cases we and a peer have got right."""

    name: str
    ours: int
    peer: str
    peers: int
    of: int
    target: str = ""
    remark: str = ""


def text(rows: Iterable[Row | Count]) -> str:
    """The tables in Markdown: times, ratios first, and then what was counted."""
    rows = list(rows)
    times = [row for row in rows if isinstance(row, Row)]
    counts = [row for row in rows if isinstance(row, Count)]
    tables = [_times(times)] if times else []
    return "\n\n".join([*tables, *([_counts(counts)] if counts else [])])


def _times(rows: Iterable[Row]) -> str:
    lines = [
        "| ratio | what | size | ours | peer | peer's | target |",
        "|---:|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.ratio:.2f}x | {row.name} | {row.size} | {_figure(row.ours)} | {row.peer}"
        f" | {_figure(row.peers)} | {'; '.join(filter(None, (row.target, row.remark)))} |"
        for row in rows
    ]
    return "\n".join(lines)


def _counts(rows: Iterable[Count]) -> str:
    lines = ["| ours | peer's | of | what | peer | target |", "|---:|---:|---:|---|---|---|"]
    lines += [
        f"| {row.ours} | {row.peers} | {row.of} | {row.name} | {row.peer}"
        f" | {'; '.join(filter(None, (row.target, row.remark)))} |"
        for row in rows
    ]
    return "\n".join(lines)


def write(rows: Iterable[Row | Count], path: Path) -> None:
    """Write the rows as a JSON list of objects; times in seconds, memory in MiB."""
    report = [
        asdict(row) | ({"ratio": round(row.ratio, 3)} if isinstance(row, Row) else {})
        for row in rows
    ]
    path.write_text(json.dumps(report, indent=1) + "\n")


def _figure(figure: Figure) -> str:
    parts = [f"{_time(figure.seconds)} ({_time(figure.lowest)} to {_time(figure.highest)})"]
    if figure.cpu_seconds:
        parts.append(f"CPU {_time(figure.cpu_seconds)}")
    if figure.peak_mib:
        parts.append(f"{figure.peak_mib:.0f} MiB")
    return ", ".join(parts)


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.2f} s"
