"""How Ansible reaches a booted machine of the tests: nsenter(1), in place of ssh."""

import subprocess

from ansible.errors import AnsibleConnectionFailure, AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: machine
short_description: A machine of the tests
description: Runs commands by nsenter in a machine that the tests have booted.
author: HX Infrastructure
options:
  leader:
    description: The machine's first process, as this machine numbers it.
    required: true
    vars:
      - name: machine_leader
"""

_ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
)


class Connection(ConnectionBase):  # type: ignore[misc]
    transport = "machine"
    has_pipelining = True

    def _connect(self) -> "Connection":
        self._connected = True
        return self

    def exec_command(
        self, cmd: str, in_data: bytes | None = None, sudoable: bool = True
    ) -> tuple[int, bytes, bytes]:
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        enter = ["nsenter", "-t", str(self.get_option("leader")), "-a", "--"]
        command = [*enter, "env", "-i", *_ENVIRONMENT, "/bin/sh", "-c", cmd]
        done = subprocess.run(command, input=in_data or b"", capture_output=True)
        if done.returncode and done.stderr.startswith(b"nsenter: "):
            raise AnsibleConnectionFailure(done.stderr.decode())
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        super().put_file(in_path, out_path)
        try:
            with open(in_path, "rb") as file:
                data = file.read()
        except FileNotFoundError as error:
            raise AnsibleFileNotFound(str(error)) from error
        self.exec_command(f"cat >{self._shell.quote(out_path)}", data)

    def fetch_file(self, in_path: str, out_path: str) -> None:
        super().fetch_file(in_path, out_path)
        data = self.exec_command(f"cat {self._shell.quote(in_path)}")[1]
        with open(out_path, "wb") as file:
            file.write(data)

    def close(self) -> None:
        self._connected = False
