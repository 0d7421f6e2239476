"""The artefacts of a run on disk: files of JSON lines, receipts for them, and the log of a stage."""

from opoi.store.files import Index, digest, encode, fingerprint, item_key, read, write_atomic
from opoi.store.log import Log
from opoi.store.receipts import Receipt, load_receipt, publish, receipt_path

__all__ = [
    "Index",
    "Log",
    "Receipt",
    "digest",
    "encode",
    "fingerprint",
    "item_key",
    "load_receipt",
    "publish",
    "read",
    "receipt_path",
    "write_atomic",
]
