"""Redis servers that are wrong in one way each, and what is no Redis, inside a machine."""

from __future__ import annotations

from pathlib import Path

from tests.machine.machine import Machine

CERTIFICATES = "/etc/ssl/hx-test"
AUTHORITY = f"{CERTIFICATES}/authority.pem"
OTHER_AUTHORITY = f"{CERTIFICATES}/other.pem"

_FOLDER = "/var/tmp/redis-servers"
_STRANGERS = "/usr/local/bin/strangers.py"

_MAKE_CERTIFICATES = """
set -e
mkdir -p {folder} && cd {folder}
key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
for name in authority other; do
    openssl req -x509 $key -days 30 -keyout $name.key -out $name.pem -subj "/CN=$name" \\
        -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
done
issue() {{ # name, its subjectAltName, validity...
    openssl req $key -keyout $1.key -out $1.csr -subj "/CN=$1" -addext "subjectAltName=$2" \\
        2>/dev/null
    name=$1; shift 2
    openssl x509 -req -in $name.csr -CA authority.pem -CAkey authority.key -copy_extensions copy \\
        -out $name.pem "$@" 2>/dev/null
}}
issue good DNS:localhost,IP:127.0.0.1,IP:::1 -days 30
issue elsewhere DNS:redis.example.org -days 30
issue expired DNS:localhost -days -1 ||
    issue expired DNS:localhost -not_before 20250101000000Z -not_after 20250201000000Z
echo no certificate >empty.pem
chmod a+r good.key expired.key elsewhere.key
"""

_TLS = "port 0\ntls-port {port}\ntls-ca-cert-file {folder}/authority.pem\n"
_CERTIFICATE = "tls-cert-file {folder}/{name}.pem\ntls-key-file {folder}/{name}.key\n"


def _tls(port: int, certificate: str, clients: str = "no") -> str:
    return (
        _TLS.format(port=port, folder=CERTIFICATES)
        + _CERTIFICATE.format(folder=CERTIFICATES, name=certificate)
        + f"tls-auth-clients {clients}\n"
    )


SENTINEL = 7012

# Port and configuration.
SERVERS = {
    7001: "requirepass secret-of-7001\n",
    7002: _tls(7002, "good"),
    7003: _tls(7003, "expired"),
    7004: _tls(7004, "elsewhere"),
    7005: _tls(7005, "good", clients="yes"),
    7006: "replicaof 127.0.0.1 6379\n",
    7007: "maxmemory 1\nmaxmemory-policy noeviction\n",
    7008: "maxmemory 100mb\nmaxmemory-policy noeviction\n",
    7009: 'save 3600 1000000\nstop-writes-on-bgsave-error yes\ndbfilename "x"\n',
    7010: "key-load-delay 200000\nloading-process-events-interval-bytes 1024\n",
    7011: "cluster-enabled yes\n",
    SENTINEL: "sentinel monitor hx 127.0.0.1 6379 1\n",
    7013: "maxclients 1\n",
    7014: "min-replicas-to-write 1\n",
    7015: "busy-reply-threshold 50\n",
    7016: 'rename-command EVAL ""\n',
    7017: "bind 0.0.0.0\nprotected-mode yes\n",
    7018: "replicaof 127.0.0.1 7099\nreplica-serve-stale-data no\n",
    7019: "aclfile {folder}/7019/users.acl\nbind 127.0.0.1 ::1\n",
    7020: "databases 4\n",
}


_PREPARE = """
set -e
mkdir -p {folder}/7009 {folder}/7010 {folder}/7019
touch {folder}/7019/users.acl
cd {folder}/7010
redis-server --port 7010 --daemonize yes --rdbcompression no --save '' --logfile log >/dev/null
until redis-cli -p 7010 PING >/dev/null 2>&1; do sleep 0.05; done
redis-cli -p 7010 EVAL 'for i = 1, 2000 do redis.call("SET", i, string.rep("x", 2000)) end' 0
redis-cli -p 7010 SAVE >/dev/null
redis-cli -p 7010 SHUTDOWN NOSAVE
"""

_START = "for port; do redis-server {folder}/$port/server.conf >/dev/null || exit 1; done"

# What a configuration alone does not bring about.
_WORSEN = """
until redis-cli -p 7009 PING >/dev/null 2>&1; do sleep 0.05; done
redis-cli -p 7009 SET a 1 >/dev/null
rm -r {folder}/7009
redis-cli -p 7009 BGSAVE >/dev/null
until redis-cli -p 7009 INFO | grep -q bgsave_status:err; do sleep 0.05; done
until redis-cli -p 7015 PING | grep -q BUSY; do sleep 0.05; done
until redis-cli -p 7013 PING | grep -q 'max number'; do sleep 0.05; done
"""


def make_certificates(machine: Machine) -> None:
    """An authority and certificates that are good, expired and for another name."""
    machine.run(["sh", "-c", _MAKE_CERTIFICATES.format(folder=CERTIFICATES)])


def start_servers(machine: Machine) -> None:
    """All of them; they end with the machine."""
    machine.run(["sh", "-c", _PREPARE.format(folder=_FOLDER)])
    folders = [f"{_FOLDER}/{port}" for port in SERVERS]
    machine.run(["mkdir", "-p", *folders])
    for (port, configuration), folder in zip(SERVERS.items(), folders, strict=True):
        machine.write(f"{folder}/server.conf", _complete(port, configuration, folder))
    start = _START.format(folder=_FOLDER)
    plain = [str(port) for port in SERVERS if port != SENTINEL]
    machine.run(["sh", "-c", start, "sh", *plain])
    machine.run(["redis-server", f"{_FOLDER}/{SENTINEL}/server.conf", "--sentinel"])
    machine.put(Path(__file__).parent / "strangers.py", _STRANGERS)
    machine.run(["systemd-run", "--quiet", "/usr/bin/python3", _STRANGERS])
    machine.run(["sh", "-c", _WORSEN.format(folder=_FOLDER)], timeout=20)


def _complete(port: int, configuration: str, folder: str) -> str:
    own_port = "" if "tls-port" in configuration else f"port {port}\n"
    common = f"daemonize yes\ndir {folder}\nlogfile {folder}/log\n"
    save = "" if "save" in configuration or port == SENTINEL else 'save ""\n'
    return own_port + common + save + configuration.format(folder=_FOLDER)
