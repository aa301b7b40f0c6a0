"""The unit of a Redis is the system's, as systemd knows it."""

from collections.abc import Callable

import pytest

from hx_gateway_db.redis.unit import unit_of
from hx_gateway_db.systemd import units
from hx_gateway_db.systemd.listeners import Listener
from hx_gateway_db.systemd.units import ServiceFailed

NAME = "redis-server.service"
GROUP = f"/system.slice/{NAME}"


def started(path: str) -> str:
    return f"{{ path={path} ; argv[]={path} /etc/redis.conf ; ignore_errors=no ; }}"


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def make(group: str = GROUP, path: str = "/usr/bin/redis-server", name: str = NAME) -> None:
        def properties(asked: str, names: object) -> list[tuple[str, str]]:
            if asked != name:
                raise ServiceFailed("no such unit.")
            return [("ControlGroup", group), ("ExecStart", started(path))]

        monkeypatch.setattr(units, "available", lambda: True)
        monkeypatch.setattr(units, "properties", properties)

    return make


@pytest.mark.parametrize(
    "path",
    ["/usr/bin/redis-server", "/usr/bin/valkey-server", "/opt/x/keydb-server", "/o/redis-server-7"],
)
def test_a_server_s_unit_is_what_systemd_says(systemd: Callable[..., None], path: str) -> None:
    systemd(path=path)
    assert unit_of(Listener(1, "redis-server", GROUP)) == NAME


@pytest.mark.parametrize(
    "group",
    [
        f"/user.slice/user-1000.slice/user@1000.service/app.slice/{NAME}",
        f"/system.slice/docker-0.scope/{NAME}",
        "/system.slice/other.service",
        "/user.slice/user-0.slice/session-1.scope",
        "/system.slice/docker-0.scope",
        "/",
    ],
)
def test_a_namesake_of_a_user_or_a_scope_is_no_such_unit(
    systemd: Callable[..., None], group: str
) -> None:
    systemd()
    assert unit_of(Listener(1, "redis-server", group)) == ""


@pytest.mark.parametrize(
    "name", ["-x.service", "..service", "a b.service", "a\\x2d.service", "a%n.service", "ä.service"]
)
def test_a_name_that_does_not_belong_into_a_path_is_none(
    systemd: Callable[..., None], name: str
) -> None:
    systemd(f"/system.slice/{name}", name=name)
    assert unit_of(Listener(1, "redis-server", f"/system.slice/{name}")) == ""


@pytest.mark.parametrize("path", ["/usr/bin/redis-sentinel", "/bin/sh", "redis-server", "/x/y.py"])
def test_a_unit_that_starts_something_else_is_no_redis(
    systemd: Callable[..., None], path: str
) -> None:
    systemd(path=path)
    assert unit_of(Listener(1, "redis-server", GROUP)) == ""


def test_without_systemd_or_a_process_there_is_none(
    systemd: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd()
    assert unit_of(None) == ""
    assert unit_of(Listener()) == ""
    monkeypatch.setattr(units, "available", lambda: False)
    assert unit_of(Listener(1, "redis-server", GROUP)) == ""
