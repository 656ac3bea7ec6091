# SPDX-License-Identifier: Apache-2.0
"""Part of a conftest.py: a test that met a hang runs once more, on a restarted board.

Now and then (one guest boot in a hundred or less) an emulated board stops, or a guest on it does. A test whose command
did not end in time, or whose board does not answer, gets one more try; every such try stands at the end of the report,
and there are at most `board.RESTARTS_MAX` of them a run, so that what hangs always fails.
"""
from _pytest.runner import runtestprotocol

from lab import board

HANGS = ("lab.agent.BoardHung:", "lab.agent.CommandTimeout:")

shared = []  # boards that serve several tests; a fixture adds its own and removes it
again = []


def _hang(reports):
    """The line that says so, or None."""
    for report in reports:
        for line in str(report.longrepr).splitlines() if report.failed else ():
            if line.startswith("E ") and line[1:].strip().startswith(HANGS):
                return line[1:].strip()
    return None


def pytest_runtest_protocol(item, nextitem):
    """pytest's hook."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    said = _hang(reports)
    if said and len(again) < board.RESTARTS_MAX:
        again.append(f"{item.nodeid}: {said[:2000]}")
        for running in shared:
            running.restart()
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter):
    """pytest's hook; several conftest.py may call it."""
    while again:
        terminalreporter.write_line(f"hang, ran once more: {again.pop(0)}")
