"""The fake as a process of its own, on real sockets."""

import asyncio
import contextlib
import json
import re
import signal
import sys


async def test_serves_ami_and_control_until_told_to_stop():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fake_asterisk", "--lab", "--ami-port", "0", "--control-port", "0",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 90)).decode()
        ami, control = (int(port) for port in re.findall(r":(\d+)", line))
        reader, writer = await asyncio.open_connection("127.0.0.1", ami)
        assert await reader.readline() == b"Asterisk Call Manager/11.0.0\r\n"
        writer.write(b"Action: Login\r\nUsername: dialer\r\nSecret: s3cret\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"Response: Success")
        ask, answer = await asyncio.open_connection("127.0.0.1", control)
        answer.write(b'{"do": "counts"}\n')
        assert json.loads(await ask.readline())["sessions"] == 1
        answer.write(b'{"do": "cut"}\n')
        await ask.readline()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() is not None
        writer.close()
        answer.close()
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 90) == 0
