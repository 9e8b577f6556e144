"""Faults of disks, files, clocks and processes, injected under load: `scripts/faults`.

Each case starts processes of its own, breaks something and asks four things: what was acknowledged is stored
or listed as lost; what is counted is what is stored; health says so within ten seconds; all is well again
without a hand, or after the one that a sentence names. The processes may run another checkout's code than
this one. Only tests import from here.
"""
