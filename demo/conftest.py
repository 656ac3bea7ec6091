# SPDX-License-Identifier: Apache-2.0
"""See lab/hangs.py."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
from lab.hangs import pytest_runtest_protocol, pytest_terminal_summary  # noqa: E402,F401  pylint: disable=unused-import
