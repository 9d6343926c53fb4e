"""The yardstick: a milter of forty lines that looks at nothing and answers only the end.

What it costs is what asyncio, the kernel and this machine cost.  0.10 CPU-ms a mail is
the figure of the machine for which the goals were set.
"""

from __future__ import annotations

import asyncio
import struct
import sys

QUIET = 0xDF080  # no reply is due before the end of the message, fields keep their blank
_HEAD = struct.Struct(">IB")
_OFFER = struct.Struct(">IcIII")
_VIEW = memoryview(bytearray(1 << 18))


class Bare(asyncio.BufferedProtocol):
    """One connection."""

    def connection_made(self, transport):
        self.transport, self.held = transport, b""

    def get_buffer(self, sizehint):
        return _VIEW

    def buffer_updated(self, nbytes):
        data, at = self.held + bytes(_VIEW[:nbytes]), 0
        while len(data) - at >= _HEAD.size:
            size, command = _HEAD.unpack_from(data, at)
            if at + 4 + size > len(data):
                break
            at += 4 + size
            if command == ord("O"):
                self.transport.write(_OFFER.pack(13, b"O", 6, 0x1FF, QUIET))
            elif command == ord("E"):
                self.transport.write(_HEAD.pack(1, ord("c")))
            elif command == ord("Q"):
                self.transport.close()
        self.held = data[at:]


async def main() -> None:
    """Serve on a free port until killed."""
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(f"listening milter inet:{port}@127.0.0.1\nready", file=sys.stderr, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
