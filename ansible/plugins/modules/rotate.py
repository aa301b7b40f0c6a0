#!/usr/bin/python3
"""What `hx-gateway-db rotate` does, as a module of Ansible."""

from ansible_collections.hx.gateway_db.plugins.module_utils.command import ARGUMENTS, Command

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: rotate
short_description: New credentials for a gateway, and the old ones closed
description:
  - Calls C(hx-gateway-db rotate). What has been begun is gone on with.
version_added: 0.2.0
author: HX Infrastructure (@hx)
options:
  answers:
    description: The logins of the servers' administrators.
    type: dict
    default: {}
  secrets:
    description: Their passwords.
    type: dict
    default: {}
  close:
    description: >-
      With V(false) new credentials are made, if they are not made yet, and the old ones are
      still let in. With V(true) the old ones are closed, if they are still let in.
    type: bool
    required: true
attributes:
  check_mode:
    description: Nothing is said in advance.
    support: none
"""

EXAMPLES = r"""
- name: Make new credentials
  hx.gateway_db.rotate:
    close: false
    answers:
      PG_ADMIN_USER: dba
    secrets:
      PG_ADMIN_PASS: "{{ vault_dba }}"
"""

RETURN = r"""
rc:
  description: The exit status of the command that failed; 7 is an old login that is still used.
  type: int
  returned: failure
"""

GOES_ON = 7
STILL_OPEN = "still open"


def main() -> None:
    module = AnsibleModule(argument_spec={**ARGUMENTS, "close": {"type": "bool", "required": True}})
    command = Command(module)
    status = command.read("status")
    logins = [str(status.get(name, "")) for name in ("database login", "redis password")]
    if any(STILL_OPEN in login for login in logins) != module.params["close"]:
        module.exit_json(changed=False)
    if module.params["close"]:
        said = command.run("rotate")[1]
    else:
        said = command.run("rotate", "--leave-open", well=(GOES_ON,))[1]
    module.exit_json(changed=True, msg=said)


if __name__ == "__main__":
    main()
