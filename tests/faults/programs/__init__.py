"""Small programs that `tests.faults` starts with the code under test: senders and clients of the SDK. Nobody
imports them.
"""
