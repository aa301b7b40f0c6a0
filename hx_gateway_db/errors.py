"""What can go wrong in a way that the administrator can act on, each with its exit status."""

from typing import ClassVar

from hx_gateway_db.findings import Finding


class HxError(Exception):
    """An error whose message is written for the administrator; never a bug of ours."""

    exit_status: ClassVar[int] = 3


class UsageError(HxError):
    """The command line or the answers can't be understood."""

    exit_status = 2


class InvalidSettings(UsageError):
    """A value that was answered, or that the host holds, can't be right."""


class Refused(HxError):
    """Something stands in the way, and nothing has been changed.

    `what` is a sentence, or with a `cure`, an imperative clause, one without its end.
    """

    exit_status = 3

    def __init__(self, what: str, cure: str = "") -> None:
        super().__init__(f"{what}: {cure}." if cure else what)
        self.what = what.removesuffix(".")
        self.cure = cure


class CheckFailed(Refused):
    """A check before the change found what stands in the way."""

    def __init__(self, message: str, findings: tuple[Finding, ...]) -> None:
        super().__init__(message)
        self.findings = findings


class RolledBack(HxError):
    """Files were changed, the gateway did not work with them, and everything was put back."""

    exit_status = 4


class NotRolledBack(HxError):
    """Files were changed, and putting them back did not bring the gateway back."""

    exit_status = 5
