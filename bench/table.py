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


def line(row: Row | Count, before: Row | Count | None) -> str:
    """A line of the tables in Markdown, with the head of a new table unless `before` is in it."""
    if isinstance(row, Row):
        head = "| ratio | what | size | ours | peer | peer's | target |"
        cells = f"| {row.ratio:.2f}x | {row.name} | {row.size} | {_figure(row.ours)} | {row.peer}"
        cells += f" | {_figure(row.peers)}"
    else:
        head = "| ours | peer's | of | what | peer | target |"
        cells = f"| {row.ours} | {row.peers} | {row.of} | {row.name} | {row.peer}"
    text = f"{cells} | {'; '.join(filter(None, (row.target, row.remark)))} |"
    if isinstance(before, type(row)):
        return text
    parts = [head, "---".join("|" * head.count("|")), text]
    return "\n".join(parts if before is None else ["", *parts])


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
