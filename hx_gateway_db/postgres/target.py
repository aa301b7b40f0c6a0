"""A login to a PostgreSQL server: LiteLLM's own, or an administrator's to the same server."""

from dataclasses import dataclass, field

from hx_gateway_db.settings.values import Login, Postgres, address


@dataclass(frozen=True)
class Target:
    """What is connected to, which answers name the user and the password, and whose they are."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    sslmode: str
    ca_file: str
    user_answer: str = "PG_USER"
    password_answer: str = "PG_PASS"
    administrator: bool = False

    @property
    def address(self) -> str:
        """Host and port as people write them."""
        return address(self.host, self.port)

    @property
    def place(self) -> str:
        """The server, as sentences name it."""
        return f"PostgreSQL at {self.address}"


def target_of(postgres: Postgres) -> Target:
    """LiteLLM's own login."""
    return Target(
        host=postgres.host,
        port=postgres.port,
        database=postgres.database,
        user=postgres.user,
        password=postgres.password,
        sslmode=postgres.sslmode,
        ca_file=postgres.ca_file,
    )


def administrator_target(postgres: Postgres, administrator: Login, database: str) -> Target:
    """An administrator's login to a database of the same server, under the same TLS settings."""
    return Target(
        host=postgres.host,
        port=postgres.port,
        database=database,
        user=administrator.user,
        password=administrator.password,
        sslmode=postgres.sslmode,
        ca_file=postgres.ca_file,
        user_answer="PG_ADMIN_USER",
        password_answer="PG_ADMIN_PASS",
        administrator=True,
    )


def schema_of(postgres: Postgres) -> str:
    """The schema that LiteLLM's tables are in: Prisma's `schema=` in DATABASE_URL, or `public`."""
    return dict(postgres.parameters).get("schema") or "public"


def identifier(name: str) -> str:
    """`name` as SQL quotes it."""
    return '"' + name.replace('"', '""') + '"'
