"""A Redis that is asked over TLS, so that its authorities' file comes into it."""

from tests.machine.machine import Machine
from tests.machine.redis_servers import CERTIFICATES, make_certificates

_PORT = 7002
TLS_REDIS = f"""REDIS=true
REDIS_HOST=127.0.0.1
REDIS_PORT={_PORT}
REDIS_USER=tls
REDIS_PASS=password-of-redis
REDIS_TLS=true
REDIS_CACERT={CERTIFICATES}/authority.pem
"""


def start_redis_with_tls(machine: Machine) -> None:
    """Start it beside the machine's own, with a user of its own."""
    make_certificates(machine)
    server = ["redis-server", "--daemonize", "yes", "--port", "0", "--tls-port", str(_PORT)]
    names = {"ca-cert": "authority.pem", "cert": "good.pem", "key": "good.key"}
    files = [f"--tls-{key}-file={CERTIFICATES}/{name}" for key, name in names.items()]
    words = [word for file in files for word in file.split("=")]
    user = ["--user", "tls on >password-of-redis ~* &* +@all"]
    machine.run([*server, *words, "--tls-auth-clients", "no", *user])
