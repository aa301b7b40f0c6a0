"""What the package must remember about a host, and cannot read back from the rendered files.

One file of lines `KEYWORD VALUE`, because postrm reads it with nothing but sh.
"""

from dataclasses import dataclass, field
from pathlib import PurePosixPath

from hx_gateway_db.errors import Refused
from hx_gateway_db.host.left import Left
from hx_gateway_db.layout import STATE_FILE


@dataclass(frozen=True)
class State:
    """`config_sha256` is config.yaml as we left it; beside the state lie its pristine bytes.

    `folders` and `group` were made by us. `local_database` is the role and database that we made
    on this host's server at `local_port`; `redis_user` a user of its Redis and the port, which
    the server `redis_unit` forgets when it ends. `restart` are units that still run with what the
    files held before. `transaction_buffer` says whether keys of config.yaml are there for the
    spend buffer.
    `left` is what we wrote last, as digests.
    """

    wired: bool
    gateway_env: PurePosixPath
    config: PurePosixPath | None = None
    config_sha256: str = ""
    folders: tuple[PurePosixPath, ...] = ()
    group: str = ""
    local_database: str = ""
    local_port: str = ""
    redis_user: str = ""
    redis_unit: str = ""
    restart: tuple[str, ...] = ()
    transaction_buffer: bool = False
    left: Left = field(default_factory=Left)


def dump(state: State) -> str:
    """The state file's text."""
    lines = ["# Kept by hx-gateway-db(8); read by its purge."]
    lines += ["wired yes"] if state.wired else []
    lines.append(f"gateway-env {state.gateway_env}")
    if state.config:
        lines += [f"config {state.config}", f"config-sha256 {state.config_sha256}"]
    lines += [f"folder {folder}" for folder in state.folders]
    lines += [f"group {state.group}"] if state.group else []
    lines += [f"local-database {state.local_database}"] if state.local_database else []
    lines += [f"local-port {state.local_port}"] if state.local_port else []
    lines += [f"redis-user {state.redis_user}"] if state.redis_user else []
    lines += [f"redis-unit {state.redis_unit}"] if state.redis_unit else []
    lines += [f"restart {unit}" for unit in state.restart]
    lines += ["transaction-buffer yes"] if state.transaction_buffer else []
    lines += [f"salt {state.left.salt}"] if state.left.salt else []
    lines += [f"left {key} {digest}" for key, digest in state.left.digests]
    return "\n".join(lines) + "\n"


def load(text: str) -> State:
    """The state in `text`. Raises Refused with the line that can't be read."""
    single: dict[str, str] = {}
    folders: list[PurePosixPath] = []
    restart: list[str] = []
    left: list[tuple[str, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        keyword, _, value = line.partition(" ")
        if keyword == "#":
            continue
        if keyword == "folder":
            folders.append(PurePosixPath(value))
        elif keyword == "restart":
            restart.append(value)
        elif keyword == "left":
            key, _, digest = value.partition(" ")
            left.append((key, digest))
        elif keyword in _SINGLE and value and keyword not in single:
            single[keyword] = value
        else:
            raise Refused(f"{STATE_FILE}, line {number}: {keyword!r} is not expected there.")
    if "gateway-env" not in single:
        raise Refused(f"{STATE_FILE} does not name gateway.env.")
    return State(
        wired="wired" in single,
        gateway_env=PurePosixPath(single["gateway-env"]),
        config=PurePosixPath(single["config"]) if "config" in single else None,
        config_sha256=single.get("config-sha256", ""),
        folders=tuple(folders),
        group=single.get("group", ""),
        local_database=single.get("local-database", ""),
        local_port=single.get("local-port", ""),
        redis_user=single.get("redis-user", ""),
        redis_unit=single.get("redis-unit", ""),
        restart=tuple(restart),
        transaction_buffer="transaction-buffer" in single,
        left=Left(single.get("salt", ""), tuple(left)),
    )


_SINGLE = (
    *("wired", "gateway-env", "config", "config-sha256", "group"),
    *("local-database", "local-port", "redis-user", "redis-unit"),
    *("transaction-buffer", "salt"),
)
