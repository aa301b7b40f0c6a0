"""The gateway's user is told where to download from, and no login of root's."""

import pytest

from hx_gateway_db.systemd.passed_on import passed_on


@pytest.mark.parametrize(
    "value",
    [
        "http://proxy.example:3128",
        "https://[2001:db8::1]:3128/",
        "proxy.example:3128",
        "https://npm.example/api/npm/all/",
    ],
)
@pytest.mark.parametrize("name", ["https_proxy", "HTTP_PROXY", "npm_config_registry"])
def test_a_url_without_a_login_is_passed_on_as_it_is(name: str, value: str) -> None:
    ours = passed_on({name: value, "SECRET": "geheim"})
    assert (ours.variables, ours.said) == ({name: value}, ())


@pytest.mark.parametrize(
    ("value", "harmless"),
    [
        ("http://root:geheim@proxy:3128", "http://proxy:3128"),
        ("http://geheim@proxy:3128/", "http://proxy:3128/"),
        ("root:geheim@proxy:3128", "proxy:3128"),
        ("http://root:ge@heim@proxy", "http://proxy"),
        ("http://root:geheim@[::1]:3128", "http://[::1]:3128"),
        ("https://npm.example/all/?token=geheim", "https://npm.example/all/"),
        ("https://npm.example/all/#geheim", "https://npm.example/all/"),
    ],
)
@pytest.mark.parametrize("name", ["http_proxy", "npm_config_registry", "PRISMA_ENGINES_MIRROR"])
def test_a_login_stays_with_root_and_that_is_said(name: str, value: str, harmless: str) -> None:
    ours = passed_on({name: value})
    assert ours.variables == {name: harmless}
    assert ours.said == (
        f"{name} is passed on without the login in it, since its user must not learn how root"
        " logs in: if that is refused, set it to one that needs no login.",
    )


@pytest.mark.parametrize(
    "value",
    [
        "http://root:geheim/x@proxy:3128",
        "http://root:geheim?x@proxy",
        "http://root:geheim#x@proxy",
        "http://root:geheim@",
        "http://pro xy:geheim",
        "http://root:12/geheim@proxy",
    ],
)
def test_what_can_not_be_told_from_a_login_is_not_passed_on(value: str) -> None:
    ours = passed_on({"https_proxy": value})
    assert "geheim" not in str(ours.variables) and "geheim" not in "".join(ours.said)
    assert len(ours.said) == 1


def test_paths_and_lists_of_hosts_are_passed_on() -> None:
    given = {"no_proxy": "localhost,.example", "NODE_EXTRA_CA_CERTS": "/etc/ssl/ours.pem"}
    assert passed_on(given).variables == given
