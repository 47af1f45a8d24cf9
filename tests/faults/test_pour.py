"""The sender that pours believes an answer that is whole and says 200, and nothing else."""

from __future__ import annotations

import asyncio
from itertools import count

from accordant.demo.stage import HOST
from tests.faults.pour import Pour

_MARK = b'{"id":"'


async def test_what_is_acknowledged_is_what_was_answered_with_200_to_its_end() -> None:
    turns, stored = count(), set[str]()

    async def door(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers in turns with 200, with 503, with half of a 200, and not at all."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
                turn = next(turns) % 8
                if turn == 6:
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-len")
                if turn >= 6:
                    break
                status = b"503 Service Unavailable" if turn == 5 else b"200 OK"
                if turn < 5:
                    stored.add(body.partition(_MARK)[2].partition(b'"')[0].decode())
                writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(door, HOST, 0) as server:
        pour = Pour(server.sockets[0].getsockname()[1])
        assert await asyncio.to_thread(pour.pour, 200, seconds_max=60.0) >= 200
    assert len(pour.acked) == len(set(pour.acked)) >= 200
    assert set(pour.acked) <= stored, "acknowledged, and the door had not said so"
    assert pour.unanswered > 0
