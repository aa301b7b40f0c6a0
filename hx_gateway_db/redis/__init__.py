"""Redis: reach it, log in, try what LiteLLM does, provision, explain. The only user of redis-py.

Touches the network and reads this machine's redis.conf. Knows nothing of PostgreSQL and Prisma.
Doors: `check.inspect_redis`, `administration.provision_local`.
"""
