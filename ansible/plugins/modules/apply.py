#!/usr/bin/python3
"""What `hx-gateway-db plan` and `apply` do, as a module of Ansible.

The passwords reach this program and the command on standard input only, where Ansible's pipelining
is on; no argument, file or log has them.
"""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: apply
short_description: Wire an HX gateway to its database, prove it, or put it all back
description:
  - Calls C(hx-gateway-db apply), which restarts nothing where nothing changes, and puts everything
    back when the gateway does not work afterwards.
  - In check mode it calls C(hx-gateway-db plan). What would change is its diff, without passwords.
version_added: 0.2.0
author: HX Infrastructure (@hx)
options:
  answers:
    description: The answers but for the passwords. An empty one keeps what the gateway has.
    type: dict
    default: {}
  secrets:
    description: The passwords, C(PG_PASS) and the like.
    type: dict
    default: {}
  prepare_prisma:
    description: Generate LiteLLM's database client if it is missing.
    type: bool
    default: false
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: Shows the files before and after, without passwords.
    support: full
"""

EXAMPLES = r"""
- name: Wire the gateway
  hx.gateway_db.apply:
    answers:
      PG_HOST: db1.example.org
    secrets:
      PG_PASS: "{{ vault_pg_pass }}"
"""

RETURN = r"""
files:
  description: The files that change.
  type: list
  elements: str
  returned: success
restart:
  description: The units that restart, in their order.
  type: list
  elements: str
  returned: success
rc:
  description: >-
    The exit status of the command that failed. 3 is a gateway that was not touched, 4 one that was
    put back as it was.
  type: int
  returned: failure
"""

COMMAND = "hx-gateway-db"
NOTHING = "Nothing to change"


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


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "answers": {"type": "dict", "default": {}},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "prepare_prisma": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    path = module.get_bin_path(COMMAND, opt_dirs=["/usr/sbin"])
    if path is None and module.check_mode:
        said = f"{COMMAND} is not installed yet: what it would change is known when it is."
        module.exit_json(changed=True, files=[], restart=[], msg=said)
    if path is None:
        module.fail_json(msg=f"{COMMAND} is not installed.")
    try:
        answers = lines({**module.params["answers"], **module.params["secrets"]})
    except ValueError as error:
        module.fail_json(msg=f"{error} has a line end in it, which no answer can have.")

    def run(*arguments: str) -> str:
        command = [path, *arguments, "--answers", "-"]
        status, said, why = module.run_command(command, data=answers, binary_data=True)
        if status:
            module.fail_json(msg=why.strip() or said.strip(), rc=status)
        return str(said)

    plan = json.loads(run("plan", "--json"))
    result = {"files": plan["files"], "restart": plan["restart"], "msg": "\n".join(plan["notes"])}
    if plan["diff"]:
        result["diff"] = {"prepared": plan["diff"]}
    result["changed"] = bool(plan["files"] or plan["restart"])
    if not module.check_mode:
        flags = ["--prepare-prisma"] if module.params["prepare_prisma"] else []
        said = run("apply", *flags)
        result["msg"] = said.strip()
        result["changed"] = result["changed"] or NOTHING not in said
    module.exit_json(**result)


if __name__ == "__main__":
    main()
