"""Bytes packed before they are sealed: compressed with zstd, against a dictionary of what billing events look like.

A dictionary is shipped, made of invented events and therefore of nobody's data, and never changed: every packed frame
names the one it was packed with. `bench/dictionary.py` makes the next one. Next: `vault.py`.
"""

import threading
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import zstandard

from accordant.kernel.errors import ConfigurationError

#: The dictionary that packs today. Those before it stay in the folder as long as a store may hold what they packed.
CURRENT = 40_001
FOLDER = "dictionaries"
LEVEL = 1
#: Refuse to unpack more than the door ever admits: a damaged row must not exhaust the memory.
_PLAIN_BYTES_MAX = 16 * 1024 * 1024


class DictionaryMissing(ConfigurationError):
    """The bytes were packed by a version that knows a dictionary this one lacks."""

    remedy = "Run the version that wrote to this store, or a newer one."


@cache
def _dictionary(number: int) -> zstandard.ZstdCompressionDict:
    place = files("accordant.store").joinpath(FOLDER, f"{number}.zdict")
    try:
        data = place.read_bytes()
    except FileNotFoundError:
        raise DictionaryMissing(f"The dictionary {number}, with which these bytes were packed, is not here.") from None
    made = zstandard.ZstdCompressionDict(data)
    if number == CURRENT:
        made.precompute_compress(level=LEVEL)
    return made


class _Means(threading.local):
    """What one thread packs and unpacks with."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=LEVEL, dict_data=_dictionary(CURRENT))
        self.decompressors: dict[int, zstandard.ZstdDecompressor] = {}


class Packing:
    """Packs and unpacks; thread-safe."""

    def __init__(self) -> None:
        self._means = _Means()

    def pack_many(self, items: Sequence[bytes]) -> list[bytes]:
        """Pack each; one call packs them all, outside the interpreter's lock."""
        if not items or not all(items):  # the quick way refuses emptiness
            return [self._means.compressor.compress(item) for item in items]
        packed = self._means.compressor.multi_compress_to_buffer(list(items))
        return [packed[index].tobytes() for index in range(len(items))]

    def unpack(self, packed: bytes) -> bytes:
        """The bytes packed before, with a dictionary or without. Raises DictionaryMissing."""
        number = zstandard.get_frame_parameters(packed).dict_id
        known = self._means.decompressors
        if number not in known:
            known[number] = zstandard.ZstdDecompressor(dict_data=_dictionary(number) if number else None)
        return known[number].decompress(packed, max_output_size=_PLAIN_BYTES_MAX)
