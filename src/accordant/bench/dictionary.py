"""Makes a dictionary for `store/packing.py` and says what it is worth: ``python -m accordant.bench.dictionary NUMBER``.

It is trained on events the stand-in invents, in the three ways JSON is spelled (indented, as Stripe does; with a space
after each mark; with none), with the headers of a delivery: it holds nobody's data. Measured on another history.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import zstandard

from accordant.connectors.stripe.simulator_history import HistoryEvent, history
from accordant.store import packing

_DICTIONARY_BYTES = 48 * 1024
_EVENTS = 1500
_SEED, _OTHER_SEED = 77, 1
_AT = 1_790_000_000


def samples(events: Sequence[HistoryEvent]) -> Iterator[bytes]:
    """Deliveries as they are packed: headers as JSON, then the body; in each of the spellings."""
    for event in events:
        body = json.loads(event.body)
        for spelled in (json.dumps(body, indent=2), json.dumps(body), json.dumps(body, separators=(",", ":"))):
            headers = {
                "content-type": "application/json; charset=utf-8",
                "content-length": str(len(spelled)),
                "user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
                "accept": "*/*; q=0.5, application/xml",
                "cache-control": "no-cache",
                "host": "hub.example.com",
                "stripe-signature": event.signature(_AT, "whsec_EXAMPLE"),
            }
            yield json.dumps(headers, separators=(",", ":")).encode() + spelled.encode()


def made(number: int) -> bytes:
    """A dictionary under ``number``: 32,768 or above, a number of our own in the format's words."""
    events = list(islice(history(accounts=40, months=12, seed=_SEED), _EVENTS))
    return zstandard.train_dictionary(_DICTIONARY_BYTES, list(samples(events)), dict_id=number).as_bytes()


def main() -> None:
    """Write the dictionary beside the others and print its worth."""
    number = int(sys.argv[1])
    data = made(number)
    place = Path(packing.__file__).parent / packing.FOLDER / f"{number}.zdict"
    place.write_bytes(data)
    others = list(samples(list(islice(history(accounts=40, months=12, seed=_OTHER_SEED), _EVENTS))))
    dictionary = zstandard.ZstdCompressionDict(data)
    dictionary.precompute_compress(level=packing.LEVEL)
    with_it = zstandard.ZstdCompressor(level=packing.LEVEL, dict_data=dictionary)
    for name, compressor in (("without", zstandard.ZstdCompressor(level=-1)), ("with", with_it)):
        started = time.thread_time()
        size = sum(len(compressor.compress(one)) for one in others)
        each_us = (time.thread_time() - started) / len(others) * 1e6
        plain = sum(map(len, others))
        print(f"{name}: {plain // len(others)} bytes become {size // len(others)}, {each_us:.1f} us each")


if __name__ == "__main__":
    main()
