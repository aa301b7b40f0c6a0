"""What must hold on the gateway's own host before it is wired to a database."""

import grp
import os
import pwd
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from hx_gateway_db import in_thread
from hx_gateway_db.checks import (
    configuration,
    copies,
    generation,
    master_key,
    overrides,
    ports,
    redis_client,
    stealing,
)
from hx_gateway_db.errors import HxError
from hx_gateway_db.findings import Finding, Subject, to_run
from hx_gateway_db.host import litellm_version, packages
from hx_gateway_db.host.host import Host
from hx_gateway_db.layout import (
    GATEWAY_GROUP,
    LITELLM_UNIT,
    STATE_FOLDER,
    UNITS,
    drop_in_folder,
)
from hx_gateway_db.prisma import check as prisma_check
from hx_gateway_db.settings.values import Settings
from hx_gateway_db.systemd import certificate_file, environment_files, units
from hx_gateway_db.systemd.sandbox import Sandbox, Unavailable, sandbox_of
from hx_gateway_db.yaml_edit.edit import YamlRefusal

# For everything but config.yaml, which is written beside itself and kept as it was.
_SPACE = 1024 * 1024
_COPIES = 4
_DIVERT = ("dpkg-divert", "--local", "--no-rename", "--add")


@dataclass(frozen=True)
class _Ground:
    """What the checks look at; `prisma` are the Environment= lines that are about to be added."""

    host: Host
    settings: Settings
    prisma: Mapping[str, str]

    @property
    def config(self) -> bytes:
        image = self.host.files[self.host.layout.config_yaml]
        return image.content if image else b""


def inspect_host(
    host: Host, settings: Settings, prisma: Mapping[str, str] | None = None
) -> tuple[Finding, ...]:
    """Look at the host's units, files and ports. Nothing is changed.

    `prisma` is what a preparation of Prisma's client wants in LiteLLM's drop-in, in addition to
    what is there. None of the checks raises: one that can't be made is a finding that says so.
    """
    ground = _Ground(host, settings, prisma or {})
    started = [in_thread.start(partial(_made, *check, ground)) for check in _CHECKS.items()]
    return tuple(finding for future in started for finding in future.result())


_Check = Callable[[_Ground], Iterator[Finding]]


def _made(name: str, check: _Check, ground: _Ground) -> list[Finding]:
    try:
        return list(check(ground))
    except (Unavailable, packages.NotAsked, HxError, YamlRefusal, OSError) as error:
        reason = str(error).removesuffix(".")
    except Exception as error:
        # A mistake of ours must not hide what the others find.
        reason = f"a mistake in hx-gateway-db ({type(error).__name__}): please report it"
    return [Subject(name, LITELLM_UNIT).skipped(f"not looked at: {reason}")]


def _prisma(ground: _Ground) -> Iterator[Finding]:
    sandbox = _sandbox(ground.host)
    yield from prisma_check.findings(prisma_check.probe(sandbox, ground.prisma), LITELLM_UNIT)


def _ca_files(ground: _Ground) -> Iterator[Finding]:
    postgres, redis = ground.settings.postgres, ground.settings.redis
    if postgres.ca_file:
        yield _ca_file(ground.host, "PG_SSLROOTCERT", postgres.ca_file, "PostgreSQL's")
    if redis and redis.ca_file:
        yield _ca_file(ground.host, "REDIS_CACERT", redis.ca_file, "Redis's")


def _ca_file(host: Host, answer: str, path: str, whose: str) -> Finding:
    about = Subject("gateway.ca-file", path, (answer,))
    sandbox = _sandbox(host)
    if certificate_file.readable_in(sandbox, path):
        return about.ok(f"{path} can be read by {LITELLM_UNIT}")
    why = f"LiteLLM could not check {whose} certificate"
    if not Path(path).is_file():
        cure = f"put the certificates of the authority there, or set {answer} to where they are"
        return about.failed(f"{path} ({answer}) is not there", why, cure)
    what = f"{path} ({answer}) can't be read by {LITELLM_UNIT}, which runs as {sandbox.user}"
    setting = certificate_file.hiding(path)
    if dict(sandbox.properties).get(setting, "no") not in ("no", "read-only"):
        why = f"{setting}= hides it, so {why}"
    copy = f"/etc/ssl/{PurePosixPath(path).name}"
    cure = f"{to_run('install', '-m', '0644', path, copy)} and set {answer} to {copy}"
    return about.failed(what, why, cure)


def _overrides(ground: _Ground) -> Iterator[Finding]:
    return overrides.findings(ground.host, ground.settings)


def _generated(ground: _Ground) -> Iterator[Finding]:
    return generation.findings(ground.host, ground.settings)


def _copies(ground: _Ground) -> Iterator[Finding]:
    known = map(units.loaded, UNITS if units.available() else ())
    return copies.findings(ground.host, ground.settings, list(known))


def _ports(ground: _Ground) -> Iterator[Finding]:
    _live(ground.host)
    return ports.findings()


def _keys(ground: _Ground) -> Iterator[Finding]:
    host = ground.host
    present = environment_files.values(host.text(host.layout.gateway_env) or "")
    variables = {**unit_variables(host), **present}
    path = str(host.layout.config_yaml)
    yield master_key.finding(path, ground.config, variables, litellm_version.of_gateway())


def unit_variables(host: Host) -> dict[str, str]:
    """What LiteLLM's unit has in its environment already, as far as can be told."""
    try:
        return _sandbox(host).variables()
    except Unavailable:
        return {}


def _conffiles(ground: _Ground) -> Iterator[Finding]:
    layout = ground.host.layout
    for path in (layout.config_yaml, layout.gateway_env):
        about = Subject("gateway.config-conffile", str(path))
        found = packages.owner(layout.root, path)
        if found is None:
            what = f"{path} belongs to no package"
            yield about.ok(what)
            continue
        kind = "a conffile" if found.conffile else "a file"
        what = f"{path} is {kind} of the package {found.package}"
        why = "another package must not change it (Debian policy 10.7.4)"
        cure = f"{to_run(*_DIVERT, str(path))} to make it your own"
        yield about.failed(what, why, cure)


def _space(ground: _Ground) -> Iterator[Finding]:
    layout = ground.host.layout
    needed = _SPACE + _COPIES * len(ground.config)
    folders = (layout.config_folder, drop_in_folder(LITELLM_UNIT), STATE_FOLDER)
    problems = [problem for folder in folders if (problem := _room(layout.root, folder, needed))]
    yield from problems
    if not problems:
        what = "there is room where files are written"
        yield Subject("gateway.space", str(layout.config_folder)).ok(what)


def _room(root: Path, folder: PurePosixPath, needed: int) -> Finding | None:
    about = Subject("gateway.space", str(folder))
    place = root / folder.relative_to("/")
    there = next(path for path in (place, *place.parents) if path.exists())
    status = os.statvfs(there)
    mount = _mount(there)
    if status.f_flag & os.ST_RDONLY:
        what = f"{mount}, on which {folder} is, is mounted read-only"
        cure = to_run("mount", "-o", "remount,rw", mount)
        return about.failed(what, "nothing can be written", cure)
    free = status.f_bavail * status.f_frsize
    # Some file systems have no fixed number of files: they say 0.
    if free >= needed and (status.f_favail or not status.f_files):
        return None
    what = f"{mount}, on which {folder} is, has {free // 1024} KiB and {status.f_favail} files left"
    cure = f"make room there: {-(-needed // 2**20)} MiB are needed"
    return about.failed(what, "", cure)


def _mount(path: Path) -> str:
    """Where the file system that `path` is on is mounted (proc_pid_mountinfo(5))."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [re.sub(r"\\([0-7]{3})", _octal, line.split()[4]) for line in lines]
    here = f"{path.resolve()}/"
    return max((x for x in points if here.startswith(f"{x.rstrip('/')}/")), key=len, default="/")


def _octal(match: re.Match[str]) -> str:
    return chr(int(match[1], 8))


def _configuration(ground: _Ground) -> Iterator[Finding]:
    _live(ground.host)
    layout = ground.host.layout
    shown = dict(units.properties(LITELLM_UNIT, configuration.READ))
    if found := configuration.another(layout.root, layout.config_yaml, shown):
        yield found


def _litellm(ground: _Ground) -> Iterator[Finding]:
    return stealing.findings(ground.host.layout)


def _redis_client(ground: _Ground) -> Iterator[Finding]:
    return redis_client.findings(ground.host, ground.settings)


def _service_users(ground: _Ground) -> Iterator[Finding]:
    _live(ground.host)
    for unit in UNITS:
        shown = dict(units.properties(unit, ("LoadState", "User", "Group", "DynamicUser")))
        if shown.get("LoadState") == "loaded" and shown.get("DynamicUser") != "yes":
            yield _service_user(unit, shown.get("User", ""), shown.get("Group", ""))


def _service_user(unit: str, user: str, group: str) -> Finding:
    about = Subject("gateway.service-user", unit)
    why = f"{unit} can't be restarted then"
    if user and not user.isdigit() and not _known(pwd.getpwnam, user):
        what = f"the user {user}, as whom {unit} runs, does not exist"
        cure = to_run("useradd", "--system", "--no-create-home", user)
        return about.failed(what, why, cure)
    # The usual group is made by an apply.
    if group not in ("", GATEWAY_GROUP) and not group.isdigit() and not _known(grp.getgrnam, group):
        what = f"the group {group}, as which {unit} runs, does not exist"
        cure = to_run("groupadd", "--system", group)
        return about.failed(what, why, cure)
    return about.ok(f"{unit} runs as {user or 'root'}")


def _known(look_up: Callable[[str], object], name: str) -> bool:
    try:
        look_up(name)
    except KeyError:
        return False
    return True


def _sandbox(host: Host) -> Sandbox:
    _live(host)
    return sandbox_of(LITELLM_UNIT)


def _live(host: Host) -> None:
    if not host.layout.live or not units.available():
        raise Unavailable("systemd does not run here")


_CHECKS: Mapping[str, _Check] = {
    configuration.NAME: _configuration,
    "gateway.prisma-client": _prisma,
    "gateway.ca-file": _ca_files,
    "gateway.config-overrides": _overrides,
    master_key.NAME: _keys,
    generation.NAME: _generated,
    copies.NAME: _copies,
    "gateway.config-conffile": _conffiles,
    "gateway.ports": _ports,
    "gateway.space": _space,
    "gateway.service-user": _service_users,
    stealing.NAME: _litellm,
    redis_client.TIMEOUTS: _redis_client,
}
