"""Randomness that depends on what is asked and never on when: every draw comes from a hash.

A simulated laboratory is asked for the same thing in any order, from several processes, before and after
restarts. A running stream of random numbers would give another answer each time; a generator seeded with
the hash of (seed, experiment, replicate, purpose) gives the same one.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np


def generator(seed: int, purpose: str, *counts: int) -> np.random.Generator:
    """A fresh generator for one purpose.

    Parameters
    ----------
    seed : the laboratory's.
    purpose : what the numbers are for, such as ``"synthesis"``; different purposes share no numbers.
    counts : what tells this occasion from others, such as experiment, replicate and repeat.
    """
    text = json.dumps([seed, purpose, *counts])
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
