"""A master key with which this LiteLLM does not start stands in the way; with others it is told."""

import pytest

from hx_gateway_db.checks import master_key
from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.settings.litellm import LiteLLM, Version

OLD, LAST_OLD, NEW = (1, 74, 15), (1, 103, 11), (1, 104, 0)
NONE, PUBLISHED = "general_settings: {}\n", "general_settings:\n  master_key: sk-1234\n"


def found(config: str, version: Version, **variables: str) -> Finding:
    return master_key.finding("/c.yaml", config.encode(), variables, LiteLLM(version))


@pytest.mark.parametrize("version", [(), OLD, LAST_OLD, NEW])
def test_a_key_of_the_site_s_own_is_well_with_any(version: Version) -> None:
    assert found("general_settings:\n  master_key: sk-site\n", version).level is Level.OK
    assert found(NONE, version, LITELLM_MASTER_KEY="sk-site").level is Level.OK


@pytest.mark.parametrize(
    ("config", "what"),
    [
        (NONE, "LiteLLM has no master key"),
        ('general_settings:\n  master_key: "  "\n', "LiteLLM has no master key"),
        (PUBLISHED, "LiteLLM has the published sk-1234 as master key"),
        ("general_settings:\n  master_key: os.environ/K\n", "LiteLLM has no master key"),
    ],
)
def test_the_litellm_that_does_not_start_with_it_is_named(config: str, what: str) -> None:
    for version in ((), OLD, LAST_OLD):
        warning = found(config, version)
        assert (warning.level, warning.what) == (Level.WARNING, what)
        assert warning.why == "LiteLLM 1.104.0 and newer do not start with that"
    failure = found(config, NEW)
    assert (failure.level, failure.what) == (Level.FAILED, what)
    assert failure.why == "LiteLLM 1.104.0 does not start with that"
    assert failure.cure == "set general_settings.master_key in /c.yaml"


def test_one_that_is_told_to_start_all_the_same_does() -> None:
    switch = "  dangerously_permit_weak_or_unset_master_key: "
    assert found(f"{PUBLISHED}{switch}true\n", NEW).level is Level.WARNING
    assert found(f'{PUBLISHED}{switch}"true"\n', NEW).level is Level.FAILED
    variable = "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"
    assert found(NONE, NEW, **{variable: "True"}).level is Level.WARNING
    assert found(NONE, NEW, **{variable: "no"}).level is Level.FAILED
