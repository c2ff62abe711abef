"""Typed SIP headers: one frozen dataclass per header, each with ``parse`` and ``__str__``."""
