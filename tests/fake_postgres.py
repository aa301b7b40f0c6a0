"""A PostgreSQL server that is none, in a thread: it says what its script says, and notes all."""

import base64
import hashlib
import hmac
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from hx_gateway_db.postgres.target import Target, target_of
from hx_gateway_db.settings.values import Postgres

SSL_REQUEST = 80877103
CLEAR_TEXT, MD5 = struct.pack(">i", 3), struct.pack(">i", 5) + b"salt"
SASL = struct.pack(">i", 10) + b"SCRAM-SHA-256\0\0"
AUTHENTICATED = b"R\0\0\0\x08\0\0\0\0"
READY = b"Z\0\0\0\x05I"
PASSWORD = "of the role"


def message(kind: bytes, body: bytes = b"") -> bytes:
    """A message of PostgreSQL's protocol, version 3."""
    return kind + struct.pack(">i", len(body) + 4) + body


def parameter(name: str, value: str) -> bytes:
    return message(b"S", f"{name}\0{value}\0".encode())


def error(sqlstate: str, text: str) -> bytes:
    return message(b"E", f"SFATAL\0VFATAL\0C{sqlstate}\0M{text}\0\0".encode())


GREETING = (
    AUTHENTICATED
    + parameter("server_version", "15.0")
    + parameter("client_encoding", "UTF8")
    + message(b"K", struct.pack(">ii", 7, 7))
    + READY
)


class Client:
    """One connection, as a script sees it."""

    def __init__(self, connection: socket.socket, heard: list[bytes]) -> None:
        self.connection = connection
        self.heard = heard
        self.proven = False
        self.bound_to = b""

    def say(self, *messages: bytes) -> None:
        self.connection.sendall(b"".join(messages))

    def hear(self) -> bytes:
        """The next message, with its kind in front; empty at the end."""
        kind = self._exactly(1)
        return kind and kind + self._rest()

    def hear_start(self) -> bytes:
        """The startup message. Raises ConnectionError where somebody has only looked for TLS."""
        start = self._rest()
        if not start:
            raise ConnectionError
        return start

    def drip(self, data: bytes, seconds: float = 0.02) -> None:
        """One byte at a time, until nobody listens."""
        for number in range(len(data)):
            self.connection.sendall(data[number : number + 1])
            time.sleep(seconds)

    def _rest(self) -> bytes:
        length = self._exactly(4)
        return self._exactly(struct.unpack(">i", length)[0] - 4) if length else b""

    def _exactly(self, number: int) -> bytes:
        data = b""
        while len(data) < number:
            chunk = self.connection.recv(number - len(data))
            if not chunk:
                return b""
            data += chunk
        self.heard.append(data)
        return data


Script = Callable[[Client], None]


def demanding(*demands: bytes) -> Script:
    """A script that demands a password in these ways, one after the other whatever comes."""

    def script(client: Client) -> None:
        client.hear_start()
        client.say(*(message(b"R", demand) for demand in demands))
        while client.hear():
            pass

    return script


def scram(client: Client, *, mechanisms: str = "SCRAM-SHA-256", iterations: int = 1) -> bytes:
    """SCRAM-SHA-256 up to the client's proof; returns the server's proof that it knows PASSWORD.

    What the client has proven is in `client.proven`.
    """
    offered = b"".join(name.encode() + b"\0" for name in mechanisms.split()) + b"\0"
    client.say(message(b"R", struct.pack(">i", 10) + offered))
    first = client.hear()
    bare = first[first.index(b"n=") :]
    nonce, salt = bare.split(b"r=")[1] + b"ours", base64.b64encode(b"salt")
    server_first = b"r=" + nonce + b",s=" + salt + b",i=%d" % iterations
    client.say(message(b"R", struct.pack(">i", 11) + server_first))
    without, proof = client.hear()[1:].split(b",p=")
    salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), b"salt", iterations)
    said = b",".join((bare, server_first, without))
    key = _hmac(salted, b"Client Key")
    signature = _hmac(hashlib.sha256(key).digest(), said)
    expected = bytes(one ^ other for one, other in zip(key, signature, strict=True))
    client.proven = base64.b64decode(proof) == expected
    client.bound_to = base64.b64decode(without.split(b",")[0][2:])
    final = base64.b64encode(_hmac(_hmac(salted, b"Server Key"), said))
    return message(b"R", struct.pack(">i", 12) + b"v=" + final)


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


@dataclass
class Server:
    """A server that runs, how to reach it, and what it has heard on all its connections."""

    target: Target
    heard: list[bytes] = field(default_factory=list)

    @property
    def postgres(self) -> Postgres:
        target = self.target
        return Postgres(
            target.host, "hx", "hx", PASSWORD, target.port, target.sslmode, target.ca_file
        )

    def knows(self, word: str) -> bool:
        """Whether a word was said to it."""
        return word.encode() in b"\n".join(self.heard)


@contextmanager
def serving(
    script: Script, host: str = "127.0.0.1", *, tls: Path | None = None, sslmode: str = "prefer"
) -> Iterator[Server]:
    """A server for whom each connection goes by `script`, from the startup message on.

    `tls` holds the key and the certificate of one that offers it.
    """
    with socket.create_server((host, 0), family=_family(host)) as listener:
        port = listener.getsockname()[1]
        postgres = Postgres(host, "hx", "hx", PASSWORD, port=port, sslmode=sslmode)
        server = Server(target_of(postgres))

        def serve() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

        def talk(connection: socket.socket) -> None:
            with suppress(OSError, struct.error), connection:
                first = struct.unpack(">ii", connection.recv(8, socket.MSG_PEEK))[1]
                if first != SSL_REQUEST:
                    script(Client(connection, server.heard))
                    return
                connection.recv(8)
                connection.sendall(b"S" if tls else b"N")
                if not tls:
                    script(Client(connection, server.heard))
                    return
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(tls)
                with context.wrap_socket(connection, server_side=True) as encrypted:
                    script(Client(encrypted, server.heard))

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def make_certificate(folder: Path, *names: str) -> Path:
    """A self-signed certificate for these names, with its key, in one file."""
    file = folder / "server.pem"
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    text = [
        "-nodes",
        "-days",
        "30",
        "-subj",
        "/CN=fake",
        "-addext",
        f"subjectAltName={','.join(names)}",
    ]
    subprocess.run(
        [*new, *text, "-keyout", file, "-out", f"{file}.crt"], check=True, capture_output=True
    )
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file
