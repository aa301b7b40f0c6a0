"""The PostgreSQL and the Redis that the gateways share, on one of the machines."""

from tests.machine.fleet.network import NETWORK
from tests.machine.installation import make_database
from tests.machine.machine import Machine

_LISTEN = """
set -e
cluster=$(echo /etc/postgresql/*/main)
echo "listen_addresses = '*'" >>"$cluster/postgresql.conf"
echo "host all all {network} scram-sha-256" >>"$cluster/pg_hba.conf"
sed -i 's/^bind .*/bind 0.0.0.0/' /etc/redis/redis.conf
cat >>/etc/redis/redis.conf
chown redis:redis /etc/redis/redis.conf
systemctl restart postgresql redis-server
"""


def serve(machine: Machine, pg_pass: str, redis_pass: str) -> None:
    """Let the network in, to a database with a login that owns it, and to Redis's default user."""
    script = _LISTEN.format(network=NETWORK)
    machine.run(["sh", "-c", script], input=f"requirepass {redis_pass}\n")
    machine.wait_until(
        lambda: machine.run(["pg_isready", "-q"], check=False).returncode == 0,
        30,
        what="PostgreSQL",
    )
    make_database(machine, pg_pass)
