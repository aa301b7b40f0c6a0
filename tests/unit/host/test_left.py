"""What we left is told from what was edited, without a value being kept."""

from hx_gateway_db.host.left import Left
from hx_gateway_db.host.state import State, dump, load

VALUES = {"PG_PASS": "geheim", "REDIS_PASS": "geheim", "PG_HOST": "db1"}
LEFT = Left().after({}, VALUES)


def test_what_reads_as_we_left_it_is_not_edited_and_the_rest_is() -> None:
    assert LEFT.edited(VALUES) == ()
    assert LEFT.edited({**VALUES, "PG_HOST": "db2", "REDIS_USER": "u"}) == ("PG_HOST", "REDIS_USER")


def test_where_nothing_is_known_nothing_is_edited() -> None:
    assert Left().edited(VALUES) == ()
    assert not Left().has("PG_HOST", "db1")


def test_no_value_can_be_read_and_equal_ones_do_not_show() -> None:
    digests = [digest for _, digest in LEFT.digests]
    assert len(set(digests)) == len(VALUES)
    assert "geheim" not in str(LEFT)
    assert Left().after({}, VALUES) != LEFT


def test_a_run_that_changes_nothing_leaves_it_as_it_is() -> None:
    edited = {**VALUES, "PG_HOST": "db2"}
    assert LEFT.after(edited, edited) is LEFT


def test_an_edit_that_a_run_found_and_left_stays_an_edit() -> None:
    edited = {**VALUES, "PG_HOST": "db2", "REDIS_USER": "u"}
    after = LEFT.after(edited, {**edited, "PG_PASS": "new"})
    assert after.edited({**edited, "PG_PASS": "new"}) == ("PG_HOST", "REDIS_USER")
    assert after.edited({**VALUES, "PG_PASS": "new"}) == ()


def test_an_edit_that_a_run_overwrote_is_none_any_more() -> None:
    edited = {**VALUES, "PG_HOST": "db2"}
    assert LEFT.after(edited, {**VALUES, "PG_HOST": "db3"}).edited({"PG_HOST": "db3"}) == ()


def test_the_first_change_that_is_known_of_makes_everything_known() -> None:
    after = Left().after(VALUES, {**VALUES, "PG_HOST": "db2"})
    assert after.edited({"PG_PASS": "other", "PG_HOST": "db2"}) == ("PG_PASS",)


def test_the_state_file_keeps_it_and_need_not() -> None:
    from pathlib import PurePosixPath

    state = State(wired=True, gateway_env=PurePosixPath("/b/gateway.env"), left=LEFT)
    assert load(dump(state)) == state
    assert load("gateway-env /b/gateway.env\n").left == Left()
