"""Names for what a user may add to: measures, goals, weightings, lowerings. One mechanism, one policy.

A name that is taken is refused, unless `replace=True` says that this is meant. What the library brings itself may stand
in a registry as text, ``"module:name"``. It is imported when it is asked for, so nobody loads a GAN without using one.
"""

from __future__ import annotations

import importlib
import typing

from branchynet.gate import shown


class Registry:
    """Entries by key, in the order in which they were added.

    Args:
        what: what an entry is called in messages: "measure".
        error: class of the errors that are raised.
        own: {key: entry, or text "module:name" of one} that the library brings.
    """

    def __init__(self, what: str, error: type, own: dict | None = None):
        self.what, self.error = what, error
        self._entries = dict(own or {})

    def add(self, key, entry, replace: bool = False) -> None:
        """Adds an entry.

        Raises:
            `error`: the key is taken, and `replace` is not given.
        """
        if key in self._entries and not replace:
            raise self.error(f"{self.what}: expected a name of its own, got {key!r}, which is taken (replace=True)")
        self._entries[key] = entry

    def names(self) -> tuple:
        """The keys, in the order in which they were added."""
        return tuple(self._entries)

    def get(self, key) -> typing.Any:
        """The entry of a key.

        Raises:
            `error`: there is none; the message lists the keys that there are.
        """
        if key not in self:
            raise self.error(f"{self.what}: expected one of {', '.join(map(str, self._entries))}; got {shown(key)}")
        entry = self._entries[key]
        if isinstance(entry, str):
            module, name = entry.split(":")
            entry = self._entries[key] = getattr(importlib.import_module(module), name)
        return entry

    def __contains__(self, key) -> bool:
        try:
            return key in self._entries
        except TypeError:  # the key cannot be hashed, so it is none
            return False
