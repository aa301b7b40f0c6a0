"""Our part is taken back out of a file that somebody else has edited; their part stays."""

from pathlib import PurePosixPath

import pytest

from hx_gateway_db.transaction.changes import FileChange
from hx_gateway_db.transaction.snapshot import FileImage, Metadata
from hx_gateway_db.wiring.take_back import take_back

CONFIG = "/opt/x/config.yaml"
ENV = "/opt/x/gateway.env"
DROP_IN = "/etc/systemd/system/hx-gateway-ml.service.d/30-db.conf"


def taken_back(path: str, before: str | None, after: str, now: str) -> str | None:
    def image(text: str) -> FileImage:
        return FileImage(text.encode(), Metadata(0, 0, 0o640))

    first = None if before is None else image(before)
    left = take_back(FileChange(PurePosixPath(path), first, image(after)), image(now))
    return None if left is None else left.content.decode()


def test_config_yaml_gets_its_keys_back_and_keeps_the_new_model() -> None:
    before = "general_settings:\n  disable_spend_logs: true\nmodel_list: []\n"
    after = before.replace("true", "false")
    now = after + "# a model of the morning\n"
    assert taken_back(CONFIG, before, after, now) == before + "# a model of the morning\n"


def test_gateway_env_gets_its_old_password_back_and_keeps_the_new_line() -> None:
    before = "DATABASE_URL=postgresql://u:old@h:5432/d\nDISABLE_ADMIN_UI=true\n"
    after = before.replace("old", "new")
    now = after + "LITELLM_SALT_KEY=s\n"
    assert taken_back(ENV, before, after, now) == before + "LITELLM_SALT_KEY=s\n"


def test_a_pg_url_that_was_written_meanwhile_stays_and_ours_goes() -> None:
    before = "DATABASE_URL=postgresql://u:old@h:5432/d\n"
    after = before.replace("old", "new") + "PG_URL=postgresql://u:new@h:5432/d\n"
    theirs = after.replace("PG_URL=postgresql://u", "PG_URL=postgresql://mine")
    assert taken_back(ENV, before, after, after + "# a note\n") == before + "# a note\n"
    assert taken_back(ENV, before, after, theirs) == theirs.replace(
        "new@h:5432/d\nPG", "old@h:5432/d\nPG"
    )


def test_of_a_gateway_env_that_was_not_there_only_the_new_line_stays() -> None:
    after = "DATABASE_URL=postgresql://u:new@h:5432/d\nDISABLE_ADMIN_UI=true\n"
    left = taken_back(ENV, None, after, after + "LITELLM_SALT_KEY=s\n")
    assert left is not None
    assert left.strip() == "LITELLM_SALT_KEY=s"


def test_a_drop_in_loses_our_line_and_keeps_the_other() -> None:
    after = "[Service]\nEnvironmentFile=/opt/x/gateway.env\n"
    now = after + "Environment=A=b\n"
    assert taken_back(DROP_IN, None, after, now) == "[Service]\nEnvironment=A=b\n"


@pytest.mark.parametrize(
    ("path", "now"),
    [
        (CONFIG, "general_settings: [half a save"),
        (ENV, "A='unclosed\nDATABASE_URL=x\n"),
        (DROP_IN, "\udcff"),
        ("/var/lib/hx-gateway-db/state", "edited"),
    ],
)
def test_a_text_in_which_our_part_cannot_be_told_is_left_alone(path: str, now: str) -> None:
    image = FileImage(b"general_settings: {}\n", Metadata(0, 0, 0o640))
    change = FileChange(PurePosixPath(path), image, image)
    edited = FileImage(now.encode(errors="surrogateescape"), image.metadata)
    assert take_back(change, edited) is None


def test_the_old_password_is_not_put_into_a_file_that_others_can_read() -> None:
    def image(password: str, metadata: Metadata) -> FileImage:
        return FileImage(f"DATABASE_URL=postgresql://u:{password}@h/d\n".encode(), metadata)

    sealed = Metadata(0, 77, 0o640)
    change = FileChange(PurePosixPath(ENV), image("old", sealed), image("new", sealed))
    left = take_back(change, image("planted", Metadata(1234, 1234, 0o644)))
    assert left is not None
    assert (b":old@" in left.content, left.metadata) == (True, sealed)


def test_config_yaml_keeps_the_owner_and_mode_that_it_was_given_since() -> None:
    image = FileImage(b"general_settings: {disable_spend_logs: true}\n", Metadata(0, 0, 0o640))
    given = Metadata(1234, 1234, 0o600)
    left = take_back(
        FileChange(PurePosixPath(CONFIG), image, image), FileImage(image.content, given)
    )
    assert left is not None and left.metadata == given
