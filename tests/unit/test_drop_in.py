"""Drop-ins in which an administrator's lines stay."""

from hx_gateway_db.drop_in import DATABASE_LINES, merge, strip

OURS = "[Service]\nEnvironmentFile=/b/config/api-gateway/gateway.env\n"
EDITED = "# site\n[Service]\nEnvironmentFile=/b/config/api-gateway/gateway.env\nNice=5\n"


def test_a_missing_drop_in_is_written_as_rendered() -> None:
    assert merge(None, OURS, DATABASE_LINES) == OURS


def test_an_edited_drop_in_with_our_line_is_left_as_it_is() -> None:
    assert merge(EDITED, OURS, DATABASE_LINES) == EDITED


def test_our_line_is_replaced_in_its_place() -> None:
    old = EDITED.replace("/b/", "/old/")
    assert merge(old, OURS, DATABASE_LINES) == EDITED


def test_our_line_is_added_below_the_section_that_is_there() -> None:
    assert merge("[Unit]\nA=1\n[Service]\nNice=5\n", OURS, DATABASE_LINES) == (
        "[Unit]\nA=1\n[Service]\nEnvironmentFile=/b/config/api-gateway/gateway.env\nNice=5\n"
    )


def test_a_drop_in_without_the_section_gets_one() -> None:
    assert merge("[Unit]\nA=1\n", OURS, DATABASE_LINES) == "[Unit]\nA=1\n" + OURS


def test_stripping_what_is_only_ours_leaves_no_file() -> None:
    assert strip(OURS, DATABASE_LINES, OURS) is None


def test_stripping_leaves_what_the_administrator_wrote() -> None:
    assert strip(EDITED, DATABASE_LINES, OURS) == "# site\n[Service]\nNice=5\n"


def test_another_environment_file_is_not_ours() -> None:
    text = "[Service]\nEnvironmentFile=/etc/hx-gateway/ml.env\n"
    assert strip(text, DATABASE_LINES, OURS) == text
