"""Which answers a finding is about: what a dialog begins with when they are to be changed."""

from hx_gateway_db.findings import ABOUT, Subject
from hx_gateway_db.settings.catalogue import ANSWERS
from tests.unit.worst_cases import modules


def test_each_check_that_is_about_answers_exists_and_so_do_they() -> None:
    known = {answer.key for answer in ANSWERS}
    assert {answer for answers in ABOUT.values() for answer in answers} <= known
    source = "\n".join(file.read_text() for name, file in modules() if name != "findings")
    for name in ABOUT:
        room, _, check = name.partition(".")
        assert f'"{name}"' in source or f'"{check}"' in source, name


def test_a_finding_knows_its_answers_by_its_check_or_by_its_subject() -> None:
    assert Subject("postgres.login", "db1").failed("no").answers == ("PG_USER", "PG_PASS")
    assert Subject("gateway.space", "/").failed("full").answers == ()
    subject = Subject("gateway.ca-file", "/ca", ("REDIS_CACERT",))
    assert subject.failed("gone").answers == ("REDIS_CACERT",)
