"""systemd's units: what they do, their environment and sandbox, who listens on a port.

The only caller of systemctl, systemd-run and journalctl.
Doors: `units`, `sandbox.run`, `listeners.other_end`.
"""
