"""The state file: its lines, what an earlier version wrote, and what purge reads of it."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from hx_gateway_db.errors import Refused
from hx_gateway_db.host.left import Left
from hx_gateway_db.host.state import State, dump, load
from hx_gateway_db.host.turn import Turn

POSTRM = Path(__file__).resolve().parents[3] / "debian/hx-gateway-db.postrm"
# As 0.1.0 wrote it, with every line that it knew.
FULL = """\
# Kept by hx-gateway-db(8); read by its purge.
wired yes
gateway-env /b/config/api-gateway/gateway.env
config /b/config/api-gateway/config.yaml
config-sha256 0123abcd
folder /b/config/api-gateway
folder /b/config
group hx-gateway
local-database hx_gateway
local-port 5433
redis-user hxgateway 6379
redis-unit redis-server.service
restart hx-litellm-gateway.service
restart hx-gateway-ml.service
transaction-buffer yes
salt 00ff
left PG_HOST aa
left PG_PASS bb
"""
STATE = State(
    wired=True,
    gateway_env=PurePosixPath("/b/config/api-gateway/gateway.env"),
    config=PurePosixPath("/b/config/api-gateway/config.yaml"),
    config_sha256="0123abcd",
    folders=(PurePosixPath("/b/config/api-gateway"), PurePosixPath("/b/config")),
    group="hx-gateway",
    local_database="hx_gateway",
    local_port="5433",
    redis_user="hxgateway 6379",
    redis_unit="redis-server.service",
    restart=("hx-litellm-gateway.service", "hx-gateway-ml.service"),
    transaction_buffer=True,
    left=Left("00ff", (("PG_HOST", "aa"), ("PG_PASS", "bb"))),
)
LEAST = "# Kept by hx-gateway-db(8); read by its purge.\ngateway-env /b/gateway.env\n"


def test_what_the_first_version_wrote_is_read_and_would_be_written_again_byte_for_byte() -> None:
    assert load(FULL) == STATE
    assert dump(STATE) == FULL


def test_the_lines_that_are_ours_as_we_wrote_them_are_known_by_a_digest() -> None:
    state = replace(STATE, left=STATE.left.with_lines({"PG_URL": "postgresql://u:geheim@h/d"}))
    digest = hashlib.sha256(b"00ffPG_URL=postgresql://u:geheim@h/d").hexdigest()
    assert dump(state) == f"{FULL}line PG_URL {digest}\n"
    assert load(dump(state)) == state


def test_whose_turn_it_is_is_remembered_whatever_a_role_is_called() -> None:
    turn = Turn(new="hx b\u2028%41", old="hx ä", since=1764362493)
    state = replace(STATE, postgres=turn, redis=Turn(new="#00ff"))
    assert load(dump(state)) == state
    assert set(dump(state).splitlines()) - set(FULL.splitlines()) == {
        *("postgres-new hx%20b%E2%80%A8%2541", "postgres-old hx%20%C3%A4"),
        *("postgres-since 1764362493", "redis-new #00ff"),
    }
    assert load(f"{FULL}postgres-since soon\n").postgres == Turn()


def test_what_there_is_not_to_say_has_no_line_and_reads_as_its_default() -> None:
    assert load(LEAST) == State(gateway_env=PurePosixPath("/b/gateway.env"))
    assert dump(load(LEAST)) == LEAST


@pytest.mark.parametrize("line", FULL.splitlines())
def test_every_line_can_be_missing_but_that_which_names_gateway_env(line: str) -> None:
    text = FULL.replace(f"{line}\n", "")
    if line.startswith("gateway-env"):
        with pytest.raises(Refused, match="does not name gateway.env"):
            load(text)
    else:
        assert set(dump(load(text)).splitlines()) == {FULL.splitlines()[0], *text.splitlines()}


@pytest.mark.parametrize(
    "line", ["wired yes", "gateway-env /c", "colour red", "group", "group ", "salt 1", ""]
)
def test_a_line_that_is_not_expected_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(Refused, match="line 19: "):
        load(f"{FULL}{line}\n")


def test_purge_reads_no_line_that_is_not_written() -> None:
    script = POSTRM.read_text()
    cases = re.findall(r"case \$keyword in\n(.*?)esac", script, re.S)
    read = set(re.findall(r"^ +([a-z0-9-]+)\)", "".join(cases), re.M))
    read |= set(re.findall(r"\$\(remembered ([a-z-]+)\)", script))
    assert {"gateway-env", "config-sha256", "folder", "local-port", "redis-user"} <= read
    assert read <= {line.partition(" ")[0] for line in FULL.splitlines()}
