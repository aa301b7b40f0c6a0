"""Several gateways on one network, and a control machine with Ansible that rolls out over them."""
