"""Record and replay: what endpoints were asked and what came of it, on a tape.

- `opoi.models.tape.entries`: what lies on a tape: requests, answers, faults.
- `opoi.models.tape.file`: the file: append-only, indexed by request.
- `opoi.models.tape.lines`: lines that record and replay.
- `opoi.models.tape.miss`: why a request is not on a tape.

No HTTP library is imported here.
"""

from opoi.models.tape.entries import SCHEMA, Entry, Fault, Outcome, Request
from opoi.models.tape.file import Tape
from opoi.models.tape.lines import RecordingLine, ReplayLine
from opoi.models.tape.miss import ReplayMissError

__all__ = [
    "SCHEMA",
    "Entry",
    "Fault",
    "Outcome",
    "RecordingLine",
    "ReplayLine",
    "ReplayMissError",
    "Request",
    "Tape",
]
