# SPDX-License-Identifier: LGPL-2.1-or-later
"""Lists by which a filter judges: struct sluice_list of sluice_filter(3) as a Python object."""
import enum

from . import wire

_COUNT_MAX = (1 << 32) - 1


class Unusable(enum.IntEnum):
    """why a line of a list is of no use"""
    CHARACTER, IDN, LABEL, LONG, WORDS, NO_NAME, ADDRESS, COSMETIC, URL, REGEX, MODIFIER, WILDCARD, SETTING, ZONE \
        = range(14)


_FIELDS = {kind: {Unusable.LONG: "too_long"}.get(kind, kind.name.lower()) for kind in Unusable}


class List:
    """what `sluice lists` shows of one. A flow whose reason begins with `reason` and a blank is a hit of it

    `unusable` has the number of lines for each kind; `changed_s` and `loaded_s` are as time.time().
    """

    def __init__(self, number, name, reason, *, n_names=0, n_exceptions=0, unusable=None, n_unusable=None,
                 is_exceptions=False, changed_s=0, loaded_s=0):
        self.number, self.name, self.reason, self.is_exceptions = number, name, reason, is_exceptions
        self.n_names, self.n_exceptions, self.unusable = n_names, n_exceptions, dict(unusable or {})
        self.n_unusable = sum(self.unusable.values()) if n_unusable is None else n_unusable
        self.changed_s, self.loaded_s = changed_s, loaded_s

    def encode(self):
        """its record; ValueError says what is wrong"""
        if not 0 < len(self.reason.encode()) < 64:
            raise ValueError("the reason is empty, or too long")
        counts = {"names": self.n_names, "allowed": self.n_exceptions, "unusable": self.n_unusable,
                  **{_FIELDS[kind]: n for kind, n in self.unusable.items()}}
        return wire.encode("LIST", number=self.number, exceptions=bool(self.is_exceptions), name=self.name,
                           reason=self.reason, changed=int(self.changed_s), loaded=int(self.loaded_s),
                           **{name: min(n, _COUNT_MAX) for name, n in counts.items()})
