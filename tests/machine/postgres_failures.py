"""The failures of a PostgreSQL that one look finds, and the sentence for each."""

from typing import Any

HERE = "PostgreSQL at 127.0.0.1:5432"

# Each: what is answered, and the sentence of what fails.
FAILURES: list[tuple[dict[str, Any], str]] = [
    # The way there
    (
        {"host": "nowhere.invalid"},
        "the host name nowhere.invalid does not resolve (no name server answers):"
        " check /etc/resolv.conf, or PG_HOST.",
    ),
    (
        {"port": 5999},
        "PostgreSQL at 127.0.0.1:5999 refuses connections (nothing listens there):"
        " check PG_PORT, that the server runs, and its listen_addresses.",
    ),
    (
        {"port": 7003},
        "PostgreSQL at 127.0.0.1:7003 does not answer within 3 s (a firewall drops what is sent"
        " there, or the host is down): check PG_HOST and the firewalls on the way.",
    ),
    (
        {"host": "192.0.2.1"},
        "PostgreSQL at 192.0.2.1:5432 can't be reached (this host has no route there):"
        " check PG_HOST and the routes: ip route get ADDRESS.",
    ),
    # What is there instead
    (
        {"port": 6379},
        "what answers at 127.0.0.1:6379 is not PostgreSQL (it looks like Redis):"
        " check PG_HOST and PG_PORT.",
    ),
    (
        {"port": 4000},
        "what answers at 127.0.0.1:4000 is not PostgreSQL (it looks like a web server):"
        " check PG_HOST and PG_PORT.",
    ),
    (
        {"port": 7001},
        "PostgreSQL at 127.0.0.1:7001 accepts connections but says nothing for 2 s (it hangs, or"
        " another service has that port): check PG_PORT and the load of the server.",
    ),
    (
        {"port": 7002},
        "PostgreSQL at 127.0.0.1:7002 closes the connection at once (a proxy without a server"
        " behind it, or another service): check PG_HOST, PG_PORT, and the proxy in front if there"
        " is one.",
    ),
    # TLS
    (
        {"port": 6432, "sslmode": "require"},
        "PostgreSQL at 127.0.0.1:6432 does not offer TLS (PG_SSLMODE=require asks for it):"
        " switch it on there (ssl = on), or choose PG_SSLMODE=prefer.",
    ),
    (
        {"sslmode": "verify-full"},
        f"the certificate of {HERE} is signed by nobody in the system's list"
        " (PG_SSLMODE=verify-full checks it): answer the file with the CA's certificate as"
        " PG_SSLROOTCERT.",
    ),
    (
        {"sslmode": "verify-full", "ca_file": "/etc/ssl/hx/second.crt"},
        f"the certificate of {HERE} is signed by nobody in /etc/ssl/hx/second.crt"
        " (PG_SSLMODE=verify-full checks it): put the CA's certificate first in"
        " /etc/ssl/hx/second.crt, since Prisma reads no other there.",
    ),
    (
        {"sslmode": "verify-full", "ca_file": "/etc/ssl/hx/ca.crt", "host": "localhost"},
        "the certificate of PostgreSQL at localhost:5432 is for another name than localhost"
        " (PG_SSLMODE=verify-full checks it): answer the name in the certificate as PG_HOST, or"
        " have one made for this name.",
    ),
    (
        {"sslmode": "verify-full", "ca_file": "/etc/ssl/hx/none.crt"},
        "the file of PG_SSLROOTCERT, /etc/ssl/hx/none.crt, can't be used (no such file or"
        " directory): answer the file with the CA's certificate as PG_SSLROOTCERT.",
    ),
    (
        {"sslmode": "verify-full", "ca_file": "/etc/ssl/hx/nonsense.crt"},
        "the file of PG_SSLROOTCERT, /etc/ssl/hx/nonsense.crt, can't be used (it holds no"
        " certificate in PEM format): answer a file that begins with the CA's certificate in PEM"
        " format.",
    ),
    (
        {"sslmode": "verify-full", "ca_file": "/etc/ssl/hx/secret.crt"},
        "the file of PG_SSLROOTCERT, /etc/ssl/hx/secret.crt, can't be used (the user hx-gateway"
        " can't read it): chmod a+r /etc/ssl/hx/secret.crt, and a+x the folders above it.",
    ),
    # pg_hba.conf
    (
        {"host": "::1", "user": "hx_few"},
        "PostgreSQL at [::1]:5432 does not let hx_few reach hx from this host (its pg_hba.conf has"
        " no entry for that): have a line for this host in its pg_hba.conf, above what rejects,"
        " and reload it.",
    ),
    (
        {"user": "hx_rejected"},
        f"{HERE} rejects hx_rejected on hx from this host (an entry of its pg_hba.conf says so):"
        " have a line for this host in its pg_hba.conf, above what rejects, and reload it.",
    ),
    (
        {"user": "hx_ident"},
        f"{HERE} wants hx_ident to log in another way than by password (its pg_hba.conf says so,"
        " and LiteLLM knows passwords only): have scram-sha-256 in the line of its pg_hba.conf"
        " that is for this host, and reload it.",
    ),
    (
        {"user": "hx_certificate"},
        f"{HERE} wants a client certificate of hx_certificate (its pg_hba.conf says so, and LiteLLM"
        " is given none): have scram-sha-256 without clientcert in the line of its pg_hba.conf,"
        " and reload it.",
    ),
    # The login
    (
        {"password": "another word"},
        f"{HERE} refuses the password of the user hx (a user that does not exist, or a password"
        " that has expired or is kept as MD5, looks the same): check PG_USER and PG_PASS.",
    ),
    (
        {"user": "hx_nobody"},
        f"{HERE} refuses the password of the user hx_nobody (a user that does not exist, or a"
        " password that has expired or is kept as MD5, looks the same): check PG_USER and PG_PASS.",
    ),
    (
        {"user": "hx_expired"},
        f"{HERE} refuses the password of the user hx_expired (a user that does not exist, or a"
        " password that has expired or is kept as MD5, looks the same): check PG_USER and PG_PASS.",
    ),
    (
        {"user": "hx_stranger"},
        f"{HERE} has no user hx_stranger: check PG_USER, or have it made:"
        " hx-gateway-db provision --print.",
    ),
    (
        {"user": "hx_nologin"},
        f"{HERE} does not let the user hx_nologin log in (the role has NOLOGIN):"
        ' as an administrator run ALTER ROLE "hx_nologin" LOGIN.',
    ),
    (
        {"user": "hx_full"},
        f"{HERE} has no connection left for the user hx_full (the role has a connection limit):"
        ' as an administrator run ALTER ROLE "hx_full" CONNECTION LIMIT -1.',
    ),
    # The database
    (
        {"database": "hx_none"},
        f"{HERE} has no database hx_none: check PG_DB, or have it made:"
        " hx-gateway-db provision --print.",
    ),
    (
        {"database": "hx_private"},
        f"{HERE} does not let hx into the database hx_private (the role has no CONNECT privilege):"
        ' as an administrator run GRANT CONNECT ON DATABASE "hx_private" TO "hx".',
    ),
    (
        {"database": "hx_closed"},
        f"the database hx_closed on {HERE} accepts no connections (it was closed to all):"
        ' as an administrator run ALTER DATABASE "hx_closed" ALLOW_CONNECTIONS true.',
    ),
    (
        {"database": "hx_limited"},
        f"{HERE} has no connection left for the database hx_limited (the database has a connection"
        ' limit): as an administrator run ALTER DATABASE "hx_limited" CONNECTION LIMIT -1.',
    ),
    (
        {"database": "hx other"},
        "LiteLLM can't reach a database with the name hx other (its Prisma takes the name from"
        " DATABASE_URL without decoding it): answer a PG_DB of letters, digits, and - . _ ~.",
    ),
    # What is in it
    (
        {"database": "hx_latin"},
        "the database hx_latin has the encoding LATIN1 (LiteLLM stores what users write, in any"
        " language): make another database with ENCODING 'UTF8' TEMPLATE template0, and answer it"
        " as PG_DB.",
    ),
    (
        {"database": "hx_still"},
        f"the database hx_still on {HERE} is read-only (default_transaction_read_only is on):"
        ' as an administrator run ALTER DATABASE "hx_still" RESET default_transaction_read_only,'
        " and the same for the role and the server.",
    ),
    (
        {"database": "postgres"},
        "the role hx may not create tables in the schema public of the database postgres (LiteLLM"
        " starts without them and then refuses every virtual key): as an administrator run, in"
        ' that database, GRANT USAGE, CREATE ON SCHEMA "public" TO "hx".',
    ),
    (
        {"database": "postgres", "parameters": [["schema", "hx's"]]},
        "the database postgres has no schema hx's, and the role hx may not make it (LiteLLM's"
        " tables belong there): as an administrator run, in that database,"
        ' CREATE SCHEMA "hx\'s" AUTHORIZATION "hx".',
    ),
    (
        {"database": "hx_others"},
        "tables of LiteLLM in hx_others belong to the role postgres, of which hx is no member"
        ' (LiteLLM changes its tables when it is upgraded): as an administrator make "hx" a member'
        " of that role, or answer it as PG_USER.",
    ),
    # PgBouncer
    (
        {"port": 6432, "pgbouncer": False},
        "a pooler (PgBouncer) stands in front of PostgreSQL at 127.0.0.1:6432 (PG_BOUNCER=false"
        " makes LiteLLM's prepared statements fail there): answer PG_BOUNCER=auto.",
    ),
    (
        {"port": 6432, "database": "hx_none"},
        "the PgBouncer at 127.0.0.1:6432 has no database hx_none: check PG_DB, or add it under"
        " [databases] in pgbouncer.ini and reload it.",
    ),
    (
        {"port": 6432, "user": "hx_nobody"},
        "the PgBouncer at 127.0.0.1:6432 refuses the login of hx_nobody (its auth_file has no such"
        " user or another password): check PG_USER and PG_PASS, and the auth_file of PgBouncer.",
    ),
    (
        {"port": 6432, "password": "another word"},
        "the PgBouncer at 127.0.0.1:6432 refuses the login of hx (its auth_file has no such user or"
        " another password): check PG_USER and PG_PASS, and the auth_file of PgBouncer.",
    ),
    (
        {"port": 6432, "database": "hx_down"},
        "the PgBouncer at 127.0.0.1:6432 had no server connection to give (its pool is used up, or"
        " the server behind it is down): look at PgBouncer's log, and raise default_pool_size in"
        " pgbouncer.ini if the pool is full.",
    ),
]
