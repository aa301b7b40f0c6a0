"""What must hold before anything is changed (check), and what holds now (verify, status).

Looks and changes nothing; each look ends in a Finding.
Doors: `preflight.inspect`, `verify.verify`, `status.status`.
"""
