#!/usr/bin/python3
"""What `hx-gateway-db plan` and `apply` do, as a module of Ansible.

The passwords reach this program and the command on standard input only, where Ansible's pipelining
is on; no argument, file or log has them.
"""

import json

from ansible_collections.hx.gateway_db.plugins.module_utils.command import ARGUMENTS, Command

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

NOTHING = "Nothing to change"


def main() -> None:
    module = AnsibleModule(
        argument_spec={**ARGUMENTS, "prepare_prisma": {"type": "bool", "default": False}},
        supports_check_mode=True,
    )
    command = Command(module)
    if command.missing:
        said = "hx-gateway-db is not installed yet: what it would change is known when it is."
        module.exit_json(changed=True, files=[], restart=[], msg=said)
    plan = json.loads(command.run("plan", "--json")[1])
    result = {"files": plan["files"], "restart": plan["restart"], "msg": "\n".join(plan["notes"])}
    if plan["diff"]:
        result["diff"] = {"prepared": plan["diff"]}
    result["changed"] = bool(plan["files"] or plan["restart"])
    if not module.check_mode:
        flags = ["--prepare-prisma"] if module.params["prepare_prisma"] else []
        said = command.run("apply", *flags)[1]
        result["msg"] = said
        result["changed"] = result["changed"] or NOTHING not in said
    module.exit_json(**result)


if __name__ == "__main__":
    main()
