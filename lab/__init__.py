# SPDX-License-Identifier: Apache-2.0
"""Boards: emulated machines with hardware virtualization. See README.md."""
