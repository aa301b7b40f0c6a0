"""LiteLLM's database client: whether the gateway's Python has it, and preparing one that it lacks.

What `guest_*` hold is run by that Python, as the gateway's user, and imported by nobody.
Doors: `check.probe`, `prepare.prepare`.
"""
