"""The package under dpkg, beside an empty one and one that uses dbconfig-common; an upgrade.

Services are stubbed for the first: the packages are installed on a booted machine with a running
PostgreSQL, but where they can't see that systemd runs (/run/systemd is covered), as in a chroot or
an image build. So ours writes its files, and restarts and proves nothing, and dbconfig-common,
which never does, is asked for no more than ours. Every package's dependencies are installed.

The upgrade is one of a wired, running gateway, in which nothing may restart.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.inside_machine import FOLDER, Timed, package, put_programs, release, timed
from bench.measure import Figure, Sample, figure, take_turns
from bench.package_image import build_package_image
from bench.packages import DBCONFIG, EMPTY, PLAIN, build_dbconfig, build_empty, build_plain
from bench.table import Row
from tests.machine.image import build_image
from tests.machine.installation import (
    existing,
    main_pids,
    make_database,
    preseed,
    raised_version,
)
from tests.machine.machine import CONFIG_YAML, Machine
from tests.package.dpkg import NONINTERACTIVE
from tests.progress import Progress

OURS = "hx-gateway-db"
PHASES = ("install", "reconfigure", "remove", "purge")
_WITHOUT_SYSTEMD = (
    *("unshare", "--mount", "sh", "-c"),
    *('mount -t tmpfs none /run/systemd && exec "$@"', "sh"),
)
_DEBCONF = "/var/cache/debconf"
_DEBCONF_AT_FIRST = f"{FOLDER}/debconf"
_GATEWAY = Path(__file__).parent.parent / "tests/machine/gateway"


@dataclass
class _Contender:
    """A package that is installed, reconfigured with another answer, removed and purged.

    `answers` are what debconf is told before a phase, as lines of debconf-set-selections(1);
    `edit` changes what only a file can change before the reconfiguration. `database` is the name
    of the one that has to be there after an installation and gone after a purge.
    """

    machine: Machine
    name: str
    deb: Path
    answers: Mapping[str, str]
    edit: Sequence[str] = ("true",)
    database: str = ""
    taken: dict[str, list[Sample]] = field(default_factory=dict)

    def run(self) -> Sample:
        """Once through its life; returns what the installation took."""
        self.machine.put(self.deb, f"{FOLDER}/{self.deb.name}")
        # A purge leaves templates, without which their questions can't be answered ahead.
        self.machine.run(["cp", "-a", f"{_DEBCONF_AT_FIRST}/.", _DEBCONF])
        self._phase("install", "dpkg", "--install", f"{FOLDER}/{self.deb.name}")
        self._assert_database(present=True)
        self.machine.run(self.edit)
        self._phase("reconfigure", "dpkg-reconfigure", self.name)
        self._phase("remove", "dpkg", "--remove", self.name)
        self._phase("purge", "dpkg", "--purge", self.name)
        self._assert_database(present=False)
        return self.taken["install"][-1]

    def figure(self, phase: str) -> Figure:
        """What a phase took in the measured rounds."""
        return figure(self.taken[phase][1:])

    def _assert_database(self, present: bool) -> None:
        """dbconfig-common says of a database that it could not make that all is well."""
        if self.database:
            query = f"SELECT count(*) FROM pg_database WHERE datname = '{self.database}'"
            assert self.machine.psql(query) == str(int(present)), f"{self.database}: {present}"

    def _phase(self, phase: str, *command: str) -> None:
        if phase in self.answers:
            self.machine.run(["debconf-set-selections"], input=self.answers[phase])
        took = _stubbed(self.machine, command)
        self.taken.setdefault(phase, []).append(took.sample)


def rows(progress: Progress) -> Iterator[Row]:
    """Both machines, one after the other."""
    with TemporaryDirectory() as life, TemporaryDirectory() as upgrade:
        yield from _under_dpkg(progress, Path(life))
        yield _upgrade(progress, Path(upgrade))


def _under_dpkg(progress: Progress, folder: Path) -> list[Row]:
    deb = package()
    with Machine(build_package_image(release())) as machine:
        machine.boot()
        put_programs(machine)
        _lay_out_a_gateway(machine)
        machine.run(["cp", "-a", _DEBCONF, _DEBCONF_AT_FIRST])
        files = _Contender(
            machine,
            OURS,
            deb,
            {
                "install": _ours(
                    "database select existing", "pg-host string db1", "pg-pass password one"
                ),
                "reconfigure": _ours("pg-pass password two"),
            },
        )
        local = _Contender(
            machine,
            OURS,
            deb,
            {
                "install": _ours("database select local", "pg-pass password one"),
                "reconfigure": _ours("database select local", "pg-pass password two"),
                "purge": _ours("drop boolean true"),
            },
            database="hx_gateway",
        )
        empty = _Contender(machine, EMPTY, build_empty(deb, folder), {})
        dbconfig = _Contender(
            machine,
            DBCONFIG,
            build_dbconfig(folder),
            {
                "install": _dbconfig(
                    "dbconfig-install boolean true",
                    "db/dbname string hx_bench",
                    "db/app-user string hx_bench",
                    "pgsql/app-pass password one",
                    "app-password-confirm password one",
                ),
                "reconfigure": _dbconfig("dbconfig-reinstall boolean true"),
                "remove": _dbconfig("dbconfig-remove boolean true", "purge boolean true"),
            },
            # Debconf's answers don't count once they are in this file.
            ["sed", "-i", "s/'one'/'two'/", f"/etc/dbconfig-common/{DBCONFIG}.conf"],
            "hx_bench",
        )
        plain = _Contender(machine, PLAIN, build_plain(deb, folder), {})
        contenders = {
            "files": files,
            "empty": empty,
            "plain": plain,
            "local": local,
            "dbconfig": dbconfig,
        }
        take_turns(progress, {name: contender.run for name, contender in contenders.items()})
        parts = _parts(progress, machine, deb)
    above = [_above_the_floor(files, empty, plain, phase, parts) for phase in PHASES]
    return above + [_beside_dbconfig(local, dbconfig, phase) for phase in PHASES]


def _above_the_floor(
    files: _Contender,
    empty: _Contender,
    plain: _Contender,
    phase: str,
    parts: Mapping[str, float],
) -> Row:
    ours, floor, alone = (contender.figure(phase) for contender in (files, empty, plain))
    remark = (
        f"{_above(ours, floor)} above it, of that {_above(alone, floor)} for the files with"
        " debhelper's scripts alone"
    )
    if phase == "install":
        remark += "; alone, " + ", ".join(
            f"{what} takes {seconds * 1000:.0f} ms" for what, seconds in parts.items()
        )
    return Row(
        f"{phase} of the .deb, files only",
        "services stubbed",
        ours,
        "an empty package (dpkg's floor)",
        floor,
        "at most 0.5 s above the floor",
        remark,
    )


def _above(ours: Figure, floor: Figure) -> str:
    seconds, cpu = ours.seconds - floor.seconds, ours.cpu_seconds - floor.cpu_seconds
    return f"{seconds:.2f} s ({cpu:.2f} s CPU)"


def _beside_dbconfig(local: _Contender, dbconfig: _Contender, phase: str) -> Row:
    return Row(
        f"{phase} of the .deb, with a database on this machine",
        "services stubbed",
        local.figure(phase),
        "a small package that uses dbconfig-common",
        dbconfig.figure(phase),
        "faster than dbconfig-common",
        "its way to a changed answer dumps the database and makes it anew"
        if phase == "reconfigure"
        else "",
    )


def _lay_out_a_gateway(machine: Machine) -> None:
    """The user and the config.yaml of a gateway that does not run."""
    machine.run(["useradd", "--system", "--user-group", "hx-gateway"])
    machine.run(["mkdir", "-p", str(CONFIG_YAML.parent)])
    machine.write(
        CONFIG_YAML, (_GATEWAY / "config.yaml").read_text(), owner="hx-gateway:hx-gateway"
    )


def _parts(progress: Progress, machine: Machine, deb: Path) -> dict[str, float]:
    """What an installation consists of, each measured alone: median seconds."""
    answers = _ours("database select existing", "pg-host string db1", "pg-pass password one")
    machine.run(["debconf-set-selections"], input=answers)
    _stubbed(machine, ["dpkg", "--install", f"{FOLDER}/{deb.name}"])
    compiled = "/usr/lib/python3/dist-packages/hx_gateway_db/__pycache__"
    config = ["/usr/share/debconf/frontend", f"/var/lib/dpkg/info/{OURS}.config", "reconfigure"]
    serial = count()

    def compile_all() -> Sample:
        machine.run(["rm", "-r", compiled])
        return _stubbed(machine, ["py3compile", "-p", OURS]).sample

    def ask() -> Sample:
        return _stubbed(machine, config).sample

    def apply() -> Sample:
        command = ["hx-gateway-db", "apply", "--answers", "-"]
        return _stubbed(machine, command, f"PG_PASS=changed{next(serial)}\n").sample

    taken = take_turns(
        progress,
        {
            "dh_python3's py3compile": compile_all,
            "the script with the questions": ask,
            "the command's apply": apply,
            "the start of Python": lambda: _stubbed(machine, ["python3", "-c", "pass"]).sample,
        },
    )
    return {name: part.seconds for name, part in taken.items()}


def _stubbed(machine: Machine, command: Sequence[str], input: str | None = None) -> Timed:
    """Run a command where it sees no systemd."""
    return timed(machine, [*_WITHOUT_SYSTEMD, *command], input=input, env=NONINTERACTIVE)


def _ours(*answers: str) -> str:
    return "".join(f"{OURS} {OURS}/{answer}\n" for answer in answers)


def _dbconfig(*answers: str) -> str:
    return "".join(f"{DBCONFIG} {DBCONFIG}/{answer}\n" for answer in answers)


# An upgrade with nothing changed


def _upgrade(progress: Progress, folder: Path) -> Row:
    deb = package()
    with Machine(build_image(release())) as machine:
        machine.boot()
        machine.wait_for_gateway()
        make_database(machine, "of-the-database")
        preseed(machine, existing("of-the-database"))
        machine.install(deb)
        put_programs(machine)
        _install(machine, build_empty(deb, folder))
        _install(machine, build_plain(deb, folder))
        before = main_pids(machine)
        taken: dict[str, list[Timed]] = {}

        def upgrade(name: str, build: Callable[[str], Path]) -> Callable[[], Sample]:
            serial = count(1)

            def run() -> Sample:
                took = _install(machine, build(f"0.2.{next(serial)}"))
                taken.setdefault(name, []).append(took)
                return took.sample

            return run

        def raised(version: str) -> Path:
            versions = folder / version
            versions.mkdir()
            return raised_version(deb, versions, version)

        figures = take_turns(
            progress,
            {
                "ours": upgrade("ours", raised),
                "empty": upgrade("empty", lambda version: build_empty(deb, folder, version)),
                "plain": upgrade("plain", lambda version: build_plain(deb, folder, version)),
            },
        )
        assert main_pids(machine) == before, "an upgrade has restarted the gateway"
        unchanged = ["hx-gateway-db", "apply", "--answers", "/dev/null"]
        apply = take_turns(progress, {"apply": lambda: timed(machine, unchanged).sample})["apply"]
    cpu = {name: measured.cpu_seconds for name, measured in figures.items()}
    read = {
        name: statistics.median(took.read_bytes for took in all_of_it[1:]) / 2**20
        for name, all_of_it in taken.items()
    }
    return Row(
        "apt upgrade with nothing changed, the gateway running",
        "no restart",
        figures["ours"],
        "an empty package's upgrade (apt's and dpkg's floor)",
        figures["empty"],
        "no restart, under 0.3 s CPU",
        f"our scripts and the command take {cpu['ours'] - cpu['plain']:.2f} s CPU, of it"
        f" {apply.cpu_seconds:.2f} s the command's apply; debhelper's scripts and the unpacking"
        f" {cpu['plain'] - cpu['empty']:.2f} s; read {read['ours']:.1f} MiB"
        f" ({read['plain']:.1f} MiB with debhelper's scripts alone, {read['empty']:.1f} MiB empty)",
    )


def _install(machine: Machine, deb: Path) -> Timed:
    machine.put(deb, f"{FOLDER}/{deb.name}")
    return timed(
        machine, ["apt-get", "install", "--yes", f"{FOLDER}/{deb.name}"], env=NONINTERACTIVE
    )
