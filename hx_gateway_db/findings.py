"""What a check has found, in the same shape whoever looked: what, where, why, and the cure."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum


class Level(Enum):
    """A failure stands in the way; a warning is for the administrator to weigh."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Cure(Enum):
    """Who can cure a failure on request, other than the administrator by hand."""

    BY_HAND = ""
    POSTGRES_ADMINISTRATOR = "postgres"
    REDIS_ADMINISTRATOR = "redis"
    PRISMA_PREPARATION = "prisma"


@dataclass(frozen=True)
class Finding:
    """One finding.

    `name` is stable, for scripts; `what` is a clause that says where as well; `why` says what it
    would lead to; `cure` is one imperative clause, if possible one command. None ends in a period.
    `answers` are the keys of those that it is about.
    """

    name: str
    level: Level
    where: str
    what: str
    why: str = ""
    cure: str = ""
    by: Cure = Cure.BY_HAND
    answers: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """All of it in one sentence."""
        why = f" ({self.why})" if self.why else ""
        cure = f": {self.cure}" if self.cure else ""
        return f"{self.what}{why}{cure}."

    def as_json(self) -> dict[str, object]:
        """As `--json` shows it; scripts rely on these names."""
        return asdict(self) | {"level": self.level.value, "by": self.by.value}


# The answers that each check is about, those that its cure says to look at.
ABOUT = {
    "postgres.name": ("PG_HOST",),
    "postgres.port": ("PG_HOST", "PG_PORT"),
    "postgres.tls": ("PG_SSLMODE", "PG_SSLROOTCERT"),
    "postgres.ca_file": ("PG_SSLROOTCERT",),
    "postgres.login": ("PG_USER", "PG_PASS"),
    "postgres.database": ("PG_DB",),
    "postgres.database_name": ("PG_DB",),
    "postgres.version": ("PG_HOST",),
    "postgres.pooler": ("PG_BOUNCER",),
    "postgres.encoding": ("PG_DB",),
    "postgres.writable": ("PG_HOST",),
    "postgres.schema": ("PG_DB", "PG_USER"),
    "postgres.tables": ("PG_DB", "PG_USER"),
    "redis.name": ("REDIS_HOST",),
    "redis.port": ("REDIS_HOST", "REDIS_PORT"),
    "redis.process": ("REDIS_HOST", "REDIS_PORT"),
    "redis.server": ("REDIS_HOST", "REDIS_PORT"),
    "redis.role": ("REDIS_HOST", "REDIS_PORT"),
    "redis.version": ("REDIS_HOST",),
    "redis.tls": ("REDIS_TLS", "REDIS_CACERT"),
    "redis.login": ("REDIS_USER", "REDIS_PASS"),
    "redis.permissions": ("REDIS_USER",),
    "redis.database": ("REDIS_DB",),
    "gateway.config": ("BASE",),
    "files.edit": ("BASE",),
}


@dataclass(frozen=True)
class Subject:
    """What is looked at: the name of the check, and where. It is the only maker of findings.

    `answers` are those that it is about, where ABOUT does not tell.
    """

    name: str
    where: str
    answers: tuple[str, ...] = ()

    def ok(self, what: str, why: str = "") -> Finding:
        """All is well there."""
        return self.found(Level.OK, what, why)

    def skipped(self, what: str, why: str = "", cure: str = "") -> Finding:
        """It was not looked at, for the reason that `what` is."""
        return self.found(Level.SKIPPED, what, why, cure)

    def warning(self, what: str, why: str = "", cure: str = "", by: Cure = Cure.BY_HAND) -> Finding:
        """Something for the administrator to weigh."""
        return self.found(Level.WARNING, what, why, cure, by)

    def failed(self, what: str, why: str = "", cure: str = "", by: Cure = Cure.BY_HAND) -> Finding:
        """Something that stands in the way."""
        return self.found(Level.FAILED, what, why, cure, by)

    def found(
        self, level: Level, what: str, why: str = "", cure: str = "", by: Cure = Cure.BY_HAND
    ) -> Finding:
        """A finding whose level is known only now."""
        answers = self.answers or ABOUT.get(self.name, ())
        return Finding(self.name, level, self.where, what, why, cure, by, answers)


@dataclass(frozen=True)
class Sentence:
    """What is said of one failure: `name` is the check's, the rest has `{names}` to be filled in.

    It stands in a row beside what such a failure is recognized by.
    """

    name: str
    what: str
    why: str = ""
    cure: str = ""
    by: Cure = Cure.BY_HAND
    level: Level = Level.FAILED

    def finding(self, where: str, names: Mapping[str, object]) -> Finding:
        """It, with `names` filled in. Raises KeyError for one that is not among them."""
        what, why, cure = (text.format_map(names) for text in (self.what, self.why, self.cure))
        return Subject(self.name, where).found(self.level, what, why, cure, self.by)


def to_run(*command: str) -> str:
    """The cure that is a command, its words quoted for a shell.

    They are our own or such as root alone decides, never what a stranger has said.
    """
    line = shlex.join(command)
    mark = '"' if "'" in line else "'"
    return f"run {mark}{line}{mark}"


def failures(findings: Iterable[Finding]) -> list[Finding]:
    """Those that stand in the way."""
    return [finding for finding in findings if finding.level is Level.FAILED]


def outcome(findings: Sequence[Finding]) -> str:
    """How checks ended, in a few words; those that failed are named."""
    failed = [finding.name for finding in findings if finding.level is Level.FAILED]
    if failed:
        return f"{len(failed)} of {len(findings)} checks failed ({', '.join(failed)})"
    warned = sum(finding.level is Level.WARNING for finding in findings)
    if warned:
        return f"All well but for {warned} warning{'' if warned == 1 else 's'}"
    return "All well"
