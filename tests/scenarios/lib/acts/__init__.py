# SPDX-License-Identifier: LGPL-2.1-or-later
"""The acts of actor.py, a file for each subject: functions act_NAME."""
