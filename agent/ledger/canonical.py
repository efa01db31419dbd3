"""Canonical JSON text and the hash chain over it.

The chain hashes *text*, and the text is what the database stores: PostgreSQL's JSONB would change 1e22, 1e16 and
-0.0, after which no chain verifies.

    hash_n = sha256(hash_(n-1) + "\\n" + canonical(event_n))
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

GENESIS = "0" * 64
"""What the first event of a ledger names as its predecessor."""


def canonical(value: Any) -> str:
    """Sorted keys, no spaces, no NaN; equal values give equal text. Raises ValueError for NaN or infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def sha256_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def chain_hash(
    prev_hash: str, *, seq: int, campaign: str, kind: str, version: int, at: str, body: str
) -> str:
    """Hash of one event; ``body`` is canonical text already."""
    event = canonical(
        {"at": at, "body": body, "campaign": campaign, "kind": kind, "seq": seq, "version": version}
    )
    return sha256_text(prev_hash + "\n" + event)
