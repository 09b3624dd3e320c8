"""CRC-64 as OpenIGTLink uses it (ECMA-182 polynomial, start value 0, not reflected); 3 ms for 128 KB with numpy alone.

A CRC is linear. So the message is cut into lanes of equal length, the CRCs of all lanes are computed side by side, and
each is then advanced over the lanes after it. Leading zeros change nothing, so the message is padded in front.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

POLYNOMIAL: Final = 0x42F0E1EBA9EA3693
LANE_BYTES: Final = 256
_MASK: Final = 2**64 - 1
Words = NDArray[np.uint64]


def crc64(data: bytes | memoryview) -> int:
    """Return the CRC-64 of the data."""
    raw = np.frombuffer(data, np.uint8)
    lanes = np.zeros(-(-max(1, len(raw)) // LANE_BYTES) * LANE_BYTES, np.uint8)
    lanes[len(lanes) - len(raw) :] = raw
    columns = np.ascontiguousarray(lanes.reshape(-1, LANE_BYTES).T)
    words = np.zeros(columns.shape[1], np.uint64)
    for column in columns:
        words = _advance(words, column)
    tables, total = _lane_tables(), 0
    for word in words.tolist():
        shifted = 0
        for place in range(8):
            shifted ^= tables[place][(total >> (8 * place)) & 0xFF]
        total = shifted ^ word
    return total


def _advance(words: Words, column: NDArray[np.uint8] | int) -> Words:
    index = (words >> np.uint64(56)) ^ np.asarray(column, np.uint64)
    advanced: Words = _byte_table()[index] ^ (words << np.uint64(8))
    return advanced


@cache
def _byte_table() -> Words:
    table = []
    for byte in range(256):
        word = byte << 56
        for _ in range(8):
            word = ((word << 1) ^ POLYNOMIAL if word >> 63 else word << 1) & _MASK
        table.append(word)
    return np.array(table, np.uint64)


@cache
def _lane_tables() -> list[list[int]]:
    """Return, for each byte of a word and each of its values, the CRC after a lane of zeros."""
    words = (np.arange(256, dtype=np.uint64)[None, :] << (np.arange(8, dtype=np.uint64)[:, None] * 8)).ravel()
    for _ in range(LANE_BYTES):
        words = _advance(words, 0)
    tables: list[list[int]] = words.reshape(8, 256).tolist()
    return tables
