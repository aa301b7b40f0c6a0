"""Leading the host from what it has to what was asked for, and back.

A plan is made, carried out with a proof at its end, or taken back; servers are provisioned on the
way. Touches files through `transaction` and units through `systemd` only.
Doors: `apply.apply`, `rollback.rollback`, `recover.recover`, `plan.plan_apply`.
"""
