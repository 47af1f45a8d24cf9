"""Packed bytes open again whatever they were packed with, and a shipped dictionary stays what it was."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from itertools import islice

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from accordant.connectors.stripe.simulator_history import history
from accordant.store.packing import CURRENT, FOLDER, DictionaryMissing, Packing

#: What was packed with a dictionary opens with these very bytes only: a line is added, never changed.
SHIPPED = {40_001: "bf2c3b82612bc3c2df803ab287b873788238fad5b20985f13054591ee12d891c"}


def test_every_shipped_dictionary_is_what_it_was() -> None:
    folder = files("accordant.store").joinpath(FOLDER)
    found = {int(place.name.partition(".")[0]): place for place in folder.iterdir()}
    assert {number: hashlib.sha256(place.read_bytes()).hexdigest() for number, place in found.items()} == SHIPPED
    assert CURRENT in SHIPPED
    assert {zstandard.ZstdCompressionDict(place.read_bytes()).dict_id() for place in found.values()} == set(SHIPPED)


@given(st.lists(st.binary(max_size=5000), max_size=8))
def test_what_is_packed_opens_again(items: list[bytes]) -> None:
    packing = Packing()
    packed = packing.pack_many(items)
    assert [packing.unpack(one) for one in packed] == items
    assert all(zstandard.get_frame_parameters(one).dict_id == CURRENT for one in packed)


@pytest.mark.parametrize("level", [-1, 1, 3])
def test_what_was_packed_before_there_were_dictionaries_opens(level: int) -> None:
    data = b"before " * 500
    assert Packing().unpack(zstandard.ZstdCompressor(level=level).compress(data)) == data


def test_a_dictionary_of_a_later_version_is_named_with_a_remedy() -> None:
    later = zstandard.train_dictionary(4096, [b'{"later": %d}' % (7**number) for number in range(500)], dict_id=59_999)
    packed = zstandard.ZstdCompressor(dict_data=later).compress(b'{"later": 7}')
    with pytest.raises(DictionaryMissing, match="59999") as error:
        Packing().unpack(packed)
    assert "newer" in str(error.value.remedy)


def test_a_billing_event_takes_less_than_half_of_what_it_took_without() -> None:
    bodies = [event.body for event in islice(history(accounts=20, months=3, seed=5), 200)]
    without = zstandard.ZstdCompressor(level=1)
    assert sum(map(len, Packing().pack_many(bodies))) * 2 < sum(len(without.compress(body)) for body in bodies)
