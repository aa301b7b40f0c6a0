"""LITELLM_SALT_KEY, with which LiteLLM encrypts what it stores: where there is one, and a new one.

Without it LiteLLM takes the master key (`_get_salt_key` in its encrypt_decrypt_utils.py), and an
empty one for what it says. It is any text, of which the SHA-256 is the key.
"""

import hashlib
import secrets
import string
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from hx_gateway_db.host import gateway_env, python_packages
from hx_gateway_db.host.gateway_env import SALT
from hx_gateway_db.host.host import Host
from hx_gateway_db.host.included import last_with, parts
from hx_gateway_db.layout import LITELLM_UNIT
from hx_gateway_db.systemd import environment_files, sandbox
from hx_gateway_db.systemd.sandbox import Unavailable
from hx_gateway_db.transaction import foreign_file
from hx_gateway_db.transaction.foreign_file import Unreadable
from hx_gateway_db.yaml_edit.edit import YamlRefusal, lookup

_SECTION = "environment_variables"
_REFERENCE = "os.environ/"
_LETTERS = 48  # 285 bits
_LARGEST = 256 * 1024
_DOT_ENV = ".env"


@dataclass(frozen=True)
class Salt:
    """One that is there: where it stands, as a sentence names that, and what it is."""

    where: str
    value: str = field(repr=False)


def salts(host: Host) -> list[Salt]:
    """All that are there, the one that LiteLLM takes first."""
    return [*_in_configuration(host), *_in_files(host), *_in_dot_env(host)]


def new_salt() -> str:
    """A key like those that LiteLLM's own manual shows; no grammar has to quote it."""
    alphabet = string.ascii_letters + string.digits
    return "sk-" + "".join(secrets.choice(alphabet) for _ in range(_LETTERS))


def sha256(salt: str) -> str:
    """How the state file remembers one, in hexadecimal."""
    return hashlib.sha256(salt.encode()).hexdigest()


def _in_configuration(host: Host) -> Iterator[Salt]:
    # LiteLLM puts that section over its environment.
    part = last_with(parts(host), _SECTION)
    with suppress(YamlRefusal):
        section = lookup(part.text, (_SECTION,))
        value = section.get(SALT) if isinstance(section, dict) else None
        if isinstance(value, str | int | float) and value != f"{_REFERENCE}{SALT}":
            yield Salt(str(part.path), str(value))


def _in_files(host: Host) -> Iterator[Salt]:
    """Those of gateway.env and of LiteLLM's unit, of which an EnvironmentFile= wins."""
    path = host.layout.gateway_env
    ours = environment_files.values(host.text(path) or "").get(SALT)
    found = [] if ours is None else [Salt(str(path), ours)]
    if host.layout.live:
        with suppress(Unavailable):
            unit = sandbox.sandbox_of(LITELLM_UNIT)
            others = {
                file.removeprefix("-"): sandbox.variables(file.removeprefix("-")).get(SALT)
                for file in unit.environment_files
            }
            if str(path) in others:
                others[str(path)] = ours
            elif ours is not None:  # before our drop-in is there
                others = {str(path): ours, **others}
            files = [Salt(where, value) for where, value in others.items() if value is not None]
            found = [*reversed(files)]
            if SALT in unit.environment:
                found.append(Salt(f"an Environment= of {LITELLM_UNIT}", unit.environment[SALT]))
    yield from found


def _in_dot_env(host: Host) -> Iterator[Salt]:
    """That of the first .env in the folders above LiteLLM's code, which it loads by itself."""
    for folder in python_packages.of_litellm(host.layout):
        if "litellm" not in folder.names:
            continue
        for place in (folder.path / "litellm", folder.path, *folder.path.parents):
            try:
                text = foreign_file.read(place / _DOT_ENV, _LARGEST, host.layout.root)
            except Unreadable as error:
                if error.missing:
                    continue
                break
            with suppress(gateway_env.EnvFileRefusal):
                value = gateway_env.by_dotenv(text.decode(errors="replace")).get(SALT)
                if value is not None:
                    yield Salt(str(place / _DOT_ENV), value)
            break
