"""The child of :mod:`mammo.killable`: ``python -m mammo.killable_worker``.

It reads tasks from a socket and writes replies to it, one at a time, until the
socket closes. A message is a pickle (protocol 5) with its large buffers beside
it, which go through shared memory: 20 MB in about 5 ms.
"""

from __future__ import annotations

import ctypes
import importlib
import itertools
import mmap
import os
import pickle
import resource
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mammo.errors import MammoError

EXIT_MEMORY = 77
"""Exit status of a worker that could not even receive its task."""
PR_SET_PDEATHSIG = 1
OUT_OF_MEMORY = ("bad_alloc", "cannot allocate memory", "insufficient memory", "out of memory")
"""What codecs say when their allocation failed."""
MIB = 2**20
MAX_PARTS, SMALL_BYTES = 2**16, 2**16

SHARED_BYTES = 32 * MIB
"""A whole mammogram fits; through the socket it would take three times as long."""

Parts = list[memoryview]


class _Bytes:
    """Large ``bytes`` that pickle leaves out of its stream, as it does with arrays."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __reduce__(self) -> tuple[type, tuple[pickle.PickleBuffer]]:
        return bytes, (pickle.PickleBuffer(self.data),)


def pack_task(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Parts:
    """Return a task as the parts to send."""
    large = (
        _Bytes(one) if type(one) is bytes and len(one) > SMALL_BYTES else one for one in arguments
    )
    return pack_message((function, tuple(large)))


def pack_message(message: object) -> Parts:
    """Return a message as the parts to send: its pickle and the buffers beside it."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(message, 5, buffer_callback=buffers.append)
    return [memoryview(data), *(buffer.raw() for buffer in buffers)]


def unpack_message(parts: Sequence[bytearray]) -> Any:
    """Return the message; arrays in it lie in the received buffers and are writable."""
    return pickle.loads(parts[0], buffers=parts[1:])


class Channel:
    """A socket, and shared memory for what is large; the two ends take turns to speak."""

    def __init__(self, stream: socket.socket, shared: mmap.mmap | None) -> None:
        self.stream, self._shared = stream, shared

    def send(self, parts: Parts) -> None:
        """Send what :func:`pack_message` made."""
        lengths = [part.nbytes for part in parts]
        in_shared = self._shared is not None and SMALL_BYTES < sum(lengths) <= SHARED_BYTES
        head = struct.pack(f"<?I{len(parts)}Q", in_shared, len(parts), *lengths)
        if self._shared is not None and in_shared:
            self._shared.seek(0)
            for part in parts:
                self._shared.write(part)
        self.stream.sendall(head)
        if not in_shared:
            for part in parts:
                self.stream.sendall(part)

    def receive(self, most: int = 2**40) -> list[bytearray]:
        """Return pickle and buffers of the next message.

        Raises
        ------
        EOFError
            The other end is gone, or sends nonsense, such as more than ``most`` bytes.
        """
        in_shared, count = struct.unpack("<?I", self._take(5))
        if not 0 < count <= MAX_PARTS:
            raise EOFError
        lengths = struct.unpack(f"<{count}Q", self._take(8 * count))
        if sum(lengths) > (SHARED_BYTES if in_shared else most):
            raise EOFError
        if self._shared is None or not in_shared:
            return [self._take(length) for length in lengths]
        ends = list(itertools.accumulate(lengths, initial=0))
        with memoryview(self._shared) as view:
            return [bytearray(view[start:end]) for start, end in itertools.pairwise(ends)]

    def close(self) -> None:
        """Close the socket and give the shared memory back."""
        self.stream.close()
        if self._shared is not None:
            self._shared.close()

    def _take(self, length: int) -> bytearray:
        taken = bytearray(length)
        rest = memoryview(taken)
        while rest:
            count = self.stream.recv_into(rest)
            if not count:
                raise EOFError
            rest = rest[count:]
        return taken


def main(arguments: Sequence[str]) -> None:
    """Serve tasks: numbers of socket and shared memory, parent's id, memory in MiB, modules."""
    stream, shared = int(arguments[0]), int(arguments[1])
    memory_map = mmap.mmap(shared, SHARED_BYTES) if shared >= 0 else None
    channel = Channel(socket.socket(fileno=stream), memory_map)
    _die_with(int(arguments[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold a patient's pixels
    for name in arguments[4:]:
        importlib.import_module(name)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)
    memory, idle = int(arguments[3]) * MIB, _pages(0)
    resource.setrlimit(resource.RLIMIT_AS, (idle + memory, idle + memory))
    largest_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # may be the parent's own
    channel.send(pack_message((_pages(1) // 1024, largest_kb)))
    try:
        while True:
            parts = channel.receive()
            channel.send(pack_message("begun"))
            reply = _answer(parts)
            # what is never given back must not make the next file hit the limit
            grown = _pages(0) - idle > memory // 4
            channel.send(_pack_reply(*reply, grown))
    except (EOFError, ConnectionError):
        return
    except MemoryError:
        os._exit(EXIT_MEMORY)


def _answer(parts: Sequence[bytearray]) -> tuple[str, Any]:
    """Do a task; return ``result``, ``error`` or ``memory`` and its value."""
    try:
        function, arguments = unpack_message(parts)
        return "result", function(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller is to have it
        return ("memory", "") if _is_out_of_memory(error) else ("error", _detached(error))


def _is_out_of_memory(error: BaseException | None) -> bool:
    """True if an allocation that failed is behind the error."""
    while error is not None:
        if isinstance(error, MemoryError) or any(
            words in str(error).casefold() for words in OUT_OF_MEMORY
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def _detached(error: Exception) -> Exception:
    """Return the error as one that can be pickled, without the frames that it holds."""
    told = "".join(traceback.format_tb(error.__traceback__))
    error = error.with_traceback(None)
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - a class's own pickling may raise anything
        error = RuntimeError(f"{type(error).__name__}: {error}")
    if not isinstance(error, MammoError):  # an accident: say where it happened
        error.add_note(f"in the worker:\n{told}")
    return error


def _pack_reply(kind: str, value: Any, last: bool) -> Parts:
    try:
        return pack_message((kind, value, last))
    except MemoryError:
        return pack_message(("memory", "", True))
    except Exception as error:  # noqa: BLE001 - a result that cannot be pickled is the task's error
        return pack_message(("error", _detached(error), last))


def _die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies, also by SIGKILL."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before it could be asked
        os._exit(0)


def _pages(field: int) -> int:
    """Return the bytes mapped (0) or resident (1); 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[field])
    except OSError:
        return 0
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main(sys.argv[1:])
