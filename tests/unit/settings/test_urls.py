"""DATABASE_URL and REDIS_URL, both directions."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from redis.connection import parse_url

from hx_gateway_db.errors import InvalidSettings
from hx_gateway_db.settings.urls import (
    UnreadableUrl,
    another_database,
    database_url,
    libpq_url,
    parse_database_url,
    parse_redis_url,
    redis_url,
)
from hx_gateway_db.settings.values import Postgres, Redis

UNRESERVED = set(string.ascii_letters + string.digits + "-._~")
one_line = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"]) | st.just("\t"), min_size=1
).filter(lambda text: len(text.encode()) <= 63)


def test_a_url_is_as_the_specification_writes_it() -> None:
    postgres = Postgres("db1", "hx_gateway", "hx_gateway", "secret")
    assert database_url(postgres) == "postgresql://hx_gateway:secret@db1:5432/hx_gateway"
    assert redis_url(Redis("r1", password="secret")) == "redis://:secret@r1:6379/0"


def test_a_redis_user_stands_before_the_password() -> None:
    assert redis_url(Redis("r1", user="hxgateway", password="pw")) == (
        "redis://hxgateway:pw@r1:6379/0"
    )


def test_a_password_is_percent_encoded_and_a_space_never_becomes_a_plus() -> None:
    url = database_url(Postgres("h", "d", "u", "p@ss wörd+%/"))
    assert url == "postgresql://u:p%40ss%20w%C3%B6rd%2B%25%2F@h:5432/d"


def test_an_ipv6_address_is_bracketed_and_read_back() -> None:
    url = database_url(Postgres("2001:db8::1", "d", "u", "p"))
    assert url == "postgresql://u:p@[2001:db8::1]:5432/d"
    assert parse_database_url(url).host == "2001:db8::1"


def test_a_sslmode_other_than_the_default_is_in_the_url() -> None:
    url = database_url(Postgres("h", "d", "u", "p", sslmode="require"))
    assert url.endswith("/d?sslmode=require")
    assert parse_database_url(url).sslmode == "require"


def test_parameters_that_an_administrator_added_are_kept() -> None:
    url = "postgresql://u:p@h:5432/d?connection_limit=5&pool_timeout=9"
    assert database_url(parse_database_url(url)) == url


def test_a_checked_certificate_is_written_as_prisma_reads_it() -> None:
    postgres = Postgres("h", "d", "u", "p", sslmode="verify-full", ca_file="/etc/ssl/our ca.crt")
    url = database_url(postgres)
    assert url.endswith("?sslmode=require&sslaccept=strict&sslcert=%2Fetc%2Fssl%2Four%20ca.crt")
    assert parse_database_url(url) == postgres


def test_without_a_file_of_its_own_the_system_s_certificates_are_trusted() -> None:
    url = database_url(Postgres("h", "d", "u", "p", sslmode="verify-full"))
    assert url.endswith("?sslmode=require&sslaccept=strict")
    assert parse_database_url(url).sslmode == "verify-full"


@pytest.mark.parametrize("pgbouncer", [True, False])
def test_a_pgbouncer_in_front_is_in_the_url(pgbouncer: bool) -> None:
    url = database_url(Postgres("h", "d", "u", "p", pgbouncer=pgbouncer))
    assert url.endswith(f"?pgbouncer={str(pgbouncer).lower()}")
    assert parse_database_url(url).pgbouncer is pgbouncer


def test_redis_over_tls_names_its_certificates() -> None:
    redis = Redis("r1", password="pw", tls=True, ca_file="/etc/ssl/ca.crt")
    assert redis_url(redis) == (
        "rediss://:pw@r1:6379/0?ssl_check_hostname=true&ssl_ca_certs=%2Fetc%2Fssl%2Fca.crt"
    )
    assert parse_redis_url(redis_url(redis)) == redis


def test_parameters_that_an_administrator_added_to_redis_are_kept() -> None:
    url = "rediss://:p@h:6379/0?ssl_check_hostname=true&socket_timeout=5&client_name=a%2525b"
    redis = parse_redis_url(url)
    assert redis.parameters == (("socket_timeout", "5"), ("client_name", "a%b"))
    assert redis_url(redis) == url
    assert parse_url(url)["client_name"] == "a%b"


@pytest.mark.parametrize("path", ["/etc/a b.pem", "/etc/a%20b.pem", "/etc/ä+%25?&.pem"])
def test_redis_py_reads_the_certificates_path_as_it_was(path: str) -> None:
    redis = Redis("r1", tls=True, ca_file=path)
    assert parse_url(redis_url(redis))["ssl_ca_certs"] == path
    assert parse_redis_url(redis_url(redis)) == redis


def test_redis_py_checks_the_name_in_the_certificate() -> None:
    assert parse_url(redis_url(Redis("r1", tls=True)))["ssl_check_hostname"] is True


@given(one_line, one_line, one_line)
def test_every_user_password_and_database_comes_back_as_it_was(
    user: str, password: str, database: str
) -> None:
    postgres = Postgres("h", database, user, password)
    url = database_url(postgres)
    assert parse_database_url(url) == postgres
    assert set(url.removeprefix("postgresql://")) <= UNRESERVED | set(":@/%")


@given(one_line, one_line, one_line, one_line)
def test_libpq_reads_every_user_password_database_and_file_as_it_was(
    user: str, password: str, database: str, name: str
) -> None:
    postgres = Postgres("h", database, user, password, 5433, "verify-full", f"/{name}")
    url = libpq_url(postgres)
    assert set(url.removeprefix("postgresql://")) <= UNRESERVED | set(":@/%?&=")
    assert conninfo_to_dict(url) == {
        "user": user,
        "password": password,
        "dbname": database,
        "host": "h",
        "port": "5433",
        "sslmode": "verify-full",
        "sslrootcert": f"/{name}",
    }


SYSTEM = "sslrootcert=%2Fetc%2Fssl%2Fcerts%2Fca-certificates.crt"


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", ""),
        ("sslmode=prefer", ""),
        ("sslmode=disable", "sslmode=disable"),
        ("sslmode=require", "sslmode=require"),
        # Prisma's client certificate, and a check that it makes only when it is asked to.
        ("sslmode=require&sslcert=%2Fca.crt", "sslmode=require"),
        ("sslmode=require&sslaccept=strict", f"sslmode=verify-full&{SYSTEM}"),
        (
            "sslmode=require&sslaccept=strict&sslcert=%2Fca.crt",
            "sslmode=verify-full&sslrootcert=%2Fca.crt",
        ),
        # What an administrator has written in libpq's words.
        ("sslmode=allow", "sslmode=allow"),
        ("sslmode=verify-full", f"sslmode=verify-full&{SYSTEM}"),
        ("sslmode=verify-full&sslrootcert=system", f"sslmode=verify-full&{SYSTEM}"),
        ("sslmode=verify-ca&sslrootcert=%2Fr.crt", "sslmode=verify-ca&sslrootcert=%2Fr.crt"),
        ("sslmode=nonsense", ""),
        # What libpq refuses and asyncpg takes for settings of the server, and what it has too.
        ("connection_limit=5&pool_timeout=9&pgbouncer=true&channel_binding=require", ""),
        ("schema=public", ""),
        ("schema=mine", "options=-csearch_path%3D%22mine%22"),
        ("schema=a%20%22b%5C", "options=-csearch_path%3D%22a%5C%20%22%22b%5C%5C%22"),
        ("options=-cwork_mem%3D1MB&schema=x", "options=-cwork_mem%3D1MB%20-csearch_path%3D%22x%22"),
        ("schema=mine&pgbouncer=true", ""),
    ],
)
def test_the_url_for_the_wrapper_is_the_same_in_libpq_s_words(query: str, wanted: str) -> None:
    place = "postgresql://u:p%25@h:5432/d"
    url = libpq_url(parse_database_url(f"{place}?{query}"))
    assert url == f"{place}?{wanted}".rstrip("?")
    assert conninfo_to_dict(url)["dbname"] == "d"


@pytest.mark.parametrize(
    ("url", "differs"),
    [
        ("postgresql://u:p@h:5432/d?sslmode=require", ""),
        ("postgresql://reader:other@h/d", ""),
        ("postgresql+asyncpg://u:p@H/d", ""),
        ("postgres://u@h/d", ""),
        ("postgresql://u:p@h/e", "names e on h:5432, another database"),
        ("postgresql://u:p@h:5433/d", "names d on h:5433, another database"),
        ("postgresql://u:p@[::1]/d", "names d on [::1]:5432, another database"),
        ("postgresql://u:p@h/d?host=h2&dbname=x", "names x on h2:5432, another database"),
        ("postgresql://u:geheim@h/d", "has another password for u"),
        ("postgresql:///d?host=/run/postgresql", ""),
        ("postgresql://u:p@h,h2/d", ""),
        ("postgresql://u:p@h:port/d", ""),
        ("postgresql://u:p@[h/d", ""),
        ("host=h2 dbname=d", ""),
        ("", ""),
    ],
)
def test_a_url_of_somebody_else_is_compared_as_far_as_it_can_be_read(
    url: str, differs: str
) -> None:
    assert another_database(url, Postgres("h", "d", "u", "p")) == differs


def test_this_host_has_several_names() -> None:
    assert (
        another_database("postgresql://u:p@localhost/d", Postgres("127.0.0.1", "d", "u", "p")) == ""
    )


@given(one_line, one_line)
def test_every_redis_login_comes_back_as_it_was(user: str, password: str) -> None:
    redis = Redis("h", user=user, password=password, database=3, tls=True)
    assert parse_redis_url(redis_url(redis)) == redis


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:geheim@h/d",
        "postgresql+psycopg://u:geheim@h/d",
        "postgresql://u:geheim@h:port/d",
        "postgresql://u:geheim@[h/d",
        "postgresql://u:geheim@/d",
        "geheim",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_quoting_its_password(url: str) -> None:
    with pytest.raises(InvalidSettings) as refusal:
        parse_database_url(url)
    assert "geheim" not in str(refusal.value)


@pytest.mark.parametrize("mode", ["verify-full", "verify-ca", "allow", "no-such-mode"])
def test_a_mode_that_prisma_takes_for_prefer_is_read_as_that_and_kept(mode: str) -> None:
    url = f"postgresql://u:p@h:5432/d?sslmode={mode}"
    read = parse_database_url(url)
    assert read.sslmode == "prefer"
    assert read.parameters == (("sslmode", mode),)
    assert database_url(read) == url
    assert read != Postgres("h", "d", "u", "p", sslmode="verify-full")


LOGIN = {"PG_USER": "u", "PG_PASS": "p w"}
PLACE = {"PG_HOST": "h", "PG_PORT": "5433", "PG_DB": "d"}


@pytest.mark.parametrize(
    ("url", "says", "readable"),
    [
        ("postgresql://u:p%20w@h1:5433,h2:5433/d", "several hosts", LOGIN | {"PG_DB": "d"}),
        ("postgresql://u:p%20w@h1,h2/d", "several hosts", LOGIN | {"PG_DB": "d"}),
        ("postgresql+asyncpg://u:p%20w@h:5433/d", "does not begin with", LOGIN | PLACE),
        ("postgresql://u@h:5433/d", "no password: answer PG_PASS", {"PG_USER": "u", **PLACE}),
        ("postgresql://u:p%20w@/d?host=/run/postgresql", "socket", LOGIN | {"PG_DB": "d"}),
        ("postgresql://u:p%20w@h:5433/d # a note", "%23", LOGIN | PLACE),
        ("postgresql://u:p#w@h:5433/d", "%23", {}),
        ("postgresql://u:123#w@h:5433/d", "%23", {}),
        ("postgresql://u:p/w@h:5433/d", "can be read", PLACE),
        ("postgresql://u:p%20w@h:port/d", "can be read", LOGIN | {"PG_DB": "d"}),
        ("postgresql://u:p%20w@[h/d", "can be read", LOGIN | {"PG_DB": "d"}),
        ("no URL at all", "does not begin with", {}),
    ],
)
def test_of_a_url_that_cannot_be_used_what_can_be_read_is_kept(
    url: str, says: str, readable: dict[str, str]
) -> None:
    with pytest.raises(UnreadableUrl, match=says) as error:
        parse_database_url(url)
    assert error.value.readable == readable
    assert "p w" not in str(error.value) and "p%20w" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "database"), [("redis://h?db=2", 2), ("redis://h/1?db=2", 2), ("redis://h/1", 1)]
)
def test_a_redis_database_is_read_as_redis_py_reads_it(url: str, database: int) -> None:
    assert parse_redis_url(url).database == parse_url(url).get("db", 0) == database


@pytest.mark.parametrize("url", ["unix:///run/redis.sock", "redis:///1", "redis://h1,h2:6379/0"])
def test_a_redis_that_is_no_single_host_is_named_as_that(url: str) -> None:
    with pytest.raises(UnreadableUrl, match="REDIS_URL"):
        parse_redis_url(url)
