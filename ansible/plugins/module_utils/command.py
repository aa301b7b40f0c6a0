"""How the modules hand answers to hx-gateway-db: on its standard input."""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule

COMMAND = "hx-gateway-db"
# Of every module.
ARGUMENTS = {
    "answers": {"type": "dict", "default": {}},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
}


def lines(answers: dict[str, Any]) -> str:
    """An answers file. Quotes around a value are a part of it when they stand twice.

    Raises ValueError with the name of an answer that no line can hold.
    """
    found = []
    for key, value in answers.items():
        text = "" if value is None else str(value)
        if "\n" in text or "\0" in text:
            raise ValueError(key)
        if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
            text = f"{text[0]}{text}{text[0]}"
        if text:
            found.append(f"{key}={text}\n")
    return "".join(found)


class Command:
    """The command on the gateway; `missing` says that it is not installed."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._path = module.get_bin_path(COMMAND, opt_dirs=["/usr/sbin"])
        self.missing = self._path is None
        if self.missing and not module.check_mode:
            module.fail_json(msg=f"{COMMAND} is not installed.")
        try:
            self._answers = lines({**module.params["answers"], **module.params["secrets"]})
        except ValueError as error:
            module.fail_json(msg=f"{error} has a line end in it, which no answer can have.")

    def run(self, *arguments: str, well: tuple[int, ...] = (0,)) -> tuple[int, str]:
        """The status, one of `well`, and what it said; any other fails the module."""
        command = [self._path, *arguments, "--answers", "-"]
        status, said, why = self._module.run_command(command, data=self._answers, binary_data=True)
        if status not in well:
            self._module.fail_json(msg=why.strip() or said.strip(), rc=status)
        return status, said.strip() or why.strip()

    def read(self, *arguments: str) -> dict[str, Any]:
        """What it prints as JSON where it takes no answers."""
        status, said, why = self._module.run_command([self._path, *arguments, "--json"])
        if status:
            self._module.fail_json(msg=why.strip(), rc=status)
        found: dict[str, Any] = json.loads(said)
        return found
