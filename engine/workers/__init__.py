"""Supervisor and workers: one daemon in several processes.

    supervisor   binds the doors, imports, builds the plans, freezes, forks; then only watches
    workers      take mail; they share nothing but State, Store and a census of what they hold
    office       answers HTTP: /metrics /readyz /status /reload /restart

A worker that dies is restarted with back-off; one that is silent is killed; one that has lost
its supervisor ends in order.  Children and supervisor talk in JSON over socket pairs.

    roster    who shall run: a state machine without processes
    channel   the talk
    sockets   the doors' sockets, for each worker its own where the kernel spreads connections
    handover  a supervisor that replaces itself by its new version, doors open all the while
"""
