"""What several runs say together. `compare` pairs their scenarios and says what differs, and how surely."""

from opoi.across.comparing import PRIMARY, compare

__all__ = ["PRIMARY", "compare"]
