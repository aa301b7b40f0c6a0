"""What this host has now: config.yaml, gateway.env, drop-ins, and what we have left there.

Reads files, and says what they mean and how they are to read; writes none.
Doors: `host.read_host`, `state.State`.
"""
