"""What the stories do again and again on a machine: preseed, install, use a virtual key."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.machine.machine import LITELLM_URL, MASTER_KEY, WRAPPER_URL, Machine, Response

UNITS = ("hx-litellm-gateway.service", "hx-gateway-ml.service")
GATEWAY_ENV = "/opt/HX-Infrastructure-/api-gateway/config/api-gateway/gateway.env"
DROP_INS = tuple(f"/etc/systemd/system/{unit}.d/30-db.conf" for unit in UNITS)
CACHE_DROP_IN = "/etc/systemd/system/hx-litellm-gateway.service.d/40-cache.conf"
_PASSWORDS = ("pg-pass", "redis-pass", "pg-admin-pass", "redis-admin-pass")
_BOOLEANS = (
    *("redis", "redis-tls", "redis-transaction-buffer", "cache", "disable-admin-ui", "salt"),
    *("watch", "trial"),
    *("prepare-prisma", "drop"),
)
_SELECTS = ("database", "pg-sslmode", "pg-bouncer", "handover", "check-failed", "edited")


def make_database(machine: Machine, password: str, name: str = "hx_gateway") -> None:
    """A database as a DBA makes it, owned by the role that LiteLLM logs in as."""
    quoted = password.replace("'", "''")
    machine.psql(f"CREATE ROLE {name} LOGIN PASSWORD '{quoted}'")
    machine.psql(f"CREATE DATABASE {name} OWNER {name}")


def preseed(machine: Machine, answers: Mapping[str, str]) -> None:
    """Answer questions ahead, as an administrator does with debconf-set-selections(1).

    Unless it is asked for, no change is tried on a second LiteLLM, whose start takes ten seconds of
    a processor: `test_handover` is about that.
    """
    answers = {"trial": "false", **answers}
    lines = [
        f"hx-gateway-db hx-gateway-db/{question} {_type(question)} {value}\n"
        for question, value in answers.items()
    ]
    machine.run(["debconf-set-selections"], input="".join(lines))


def existing(password: str, **more: str) -> dict[str, str]:
    """The answers for a database on this machine that exists already."""
    answers = {"database": "existing", "pg-host": "127.0.0.1", "pg-pass": password}
    return answers | {key.replace("_", "-"): value for key, value in more.items()}


def reconfigure(machine: Machine, *, check: bool = True) -> str:
    """dpkg-reconfigure without a terminal; returns what it said."""
    done = machine.run(
        ["dpkg-reconfigure", "--frontend=noninteractive", "hx-gateway-db"], check=check
    )
    assert check or done.returncode != 0
    return done.stdout + done.stderr


@contextmanager
def stopped(machine: Machine) -> Iterator[None]:
    """Both units are stopped in here, so that an install or a purge has to wait for neither."""
    machine.run(["systemctl", "stop", *UNITS])
    yield
    machine.run(["systemctl", "start", *UNITS])
    machine.wait_for_gateway()


def main_pids(machine: Machine) -> list[int]:
    return [machine.main_pid(unit) for unit in UNITS]


def new_key(machine: Machine) -> Response:
    """Ask LiteLLM for a virtual key with the master key."""
    return machine.http("POST", f"{LITELLM_URL}/key/generate", key=MASTER_KEY, body={})


def chat(machine: Machine, key: str, content: str = "Return exactly the text: HX-OK") -> Response:
    """The specification's chat, through the wrapper."""
    body = {
        "model": "hx-chat",
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 10,
        "temperature": 0,
    }
    return machine.http("POST", f"{WRAPPER_URL}/v1/chat/completions", key=key, body=body)


def assert_a_virtual_key_works(machine: Machine) -> str:
    """Make a key and chat with it through the wrapper; returns the key."""
    made = new_key(machine)
    assert made.status == 200, made
    key = str(made.json["key"])
    answer = chat(machine, key)
    assert answer.status == 200, answer
    assert answer.json["choices"][0]["message"]["content"] == "HX-OK"
    return key


def no_connected_db(machine: Machine) -> bool:
    """Whether the wrapper passes on LiteLLM's `No connected db.`"""
    answer = machine.http("GET", f"{WRAPPER_URL}/v1/models", key="sk-nobodys-key")
    return answer.status == 400 and answer.json["error"]["message"] == "No connected db."


def assert_no_password_in_debconf(machine: Machine, password: str) -> None:
    """Neither debconf's files nor its backups hold the password."""
    found = machine.run(
        ["grep", "-rlF", "-f", "-", "/var/cache/debconf", "/var/lib/dpkg"],
        input=password,
        check=False,
    )
    assert found.stdout == ""


def assert_only_the_salt_is_left(machine: Machine) -> None:
    """After a purge that has not dropped the database: without it, that can't be read."""
    lines = machine.read(GATEWAY_ENV).splitlines()
    names = [line.partition("=")[0] for line in lines if line and not line.startswith("#")]
    assert names == ["LITELLM_SALT_KEY"]


def raised_version(deb: Path, folder: Path, version: str) -> Path:
    """The same package with a higher version number, to upgrade to."""
    import subprocess

    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text(
        "".join(f"Version: {version}\n" if x.startswith("Version:") else f"{x}\n" for x in lines)
    )
    target = folder / f"hx-gateway-db_{version}_all.deb"
    build = ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(target)]
    subprocess.run(build, check=True, capture_output=True)
    return target


def _type(question: str) -> str:
    if question in _PASSWORDS:
        return "password"
    if question in _BOOLEANS:
        return "boolean"
    return "select" if question in _SELECTS else "string"
