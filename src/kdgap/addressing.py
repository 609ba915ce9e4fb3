"""Randomness is addressed, not consumed.

Every random choice of a run has an address such as `(seed, "augment", epoch, step)`. The address
is hashed to the seed of a fresh generator, so a choice never depends on what was drawn before it:
resuming needs no replay, and neither worker counts nor other runs in the process can matter.
"""

import hashlib


def address(seed: int, purpose: str, *position: int) -> int:
    """Return the 63-bit generator seed that belongs to one address.

    Args:
        seed: the run's seed, or the split's.
        purpose: what is drawn there, such as "order" or "student".
        position: further coordinates, such as epoch and step.
    """
    text = "/".join([str(seed), purpose, *map(str, position)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
