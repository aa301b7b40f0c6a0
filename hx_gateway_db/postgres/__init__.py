"""PostgreSQL: reach it, log in, look, provision, explain. The only user of psycopg.

Touches the network, and this machine's server as its superuser. Knows nothing of Redis and Prisma.
Doors: `check.inspect_postgres`, `administration.provision`.
"""
