"""Files of traces: ours and those of others, read one record at a time, and cleaned texts put back.

    source = open_traces(path)
    with open_sink(out, source) as sink:
        for item in source:
            if isinstance(item, Record):
                sink.write(item, write_back(item, {3: "a new text"}))

The format is told by the content. Whatever of a record is not asked to change stays as it is, byte for byte.
"""

from opoi.formats.records import Bad, Limits, Record
from opoi.formats.sink import Sink, open_sink
from opoi.formats.source import FORMATS, Source, open_traces
from opoi.formats.writing import write_back

__all__ = ["FORMATS", "Bad", "Limits", "Record", "Sink", "Source", "open_sink", "open_traces", "write_back"]
