"""The operator in virtual time: in goes a trace, out comes what it would have cost and who would have waited.

A third place beside `kube/` and `local/` where `core.planner.plan` decides: here pods, clients and the clock
are values, so an hour passes in seconds and the same seed gives the same hour. Anything that has the shape of
the planner (`policy.Policy`) can be put in its place: so other autoscalers are compared with it.

`trace` reads a trace, `load` makes requests of it, `pod` and `cluster` are the model, `executor` carries out
plans, `run` joins them, `result` and `plot` say what happened. It opens no socket and reads no clock.
"""
