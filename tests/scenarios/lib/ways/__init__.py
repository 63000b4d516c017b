# SPDX-License-Identifier: LGPL-2.1-or-later
"""The ways of slips.py, a file for each subject: functions with the name of the way."""
