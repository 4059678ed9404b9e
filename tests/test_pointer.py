from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mammo.errors import PointerDamaged
from mammo.pointer import read_pointer, remove_pointer, write_pointer


def test_pointer_and_its_folder_are_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename that is not flushed may be gone after a power cut."""
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def flush(handle: int) -> None:
        fsync(handle)
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")

    def rename(draft: Path, target: Path) -> Path:
        done.append("rename")
        return replace(draft, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(Path, "replace", rename)
    write_pointer(tmp_path / "pointer.json", {"release_id": "r-1"})
    remove_pointer(tmp_path / "pointer.json")
    assert done == ["file", "rename", "folder", "folder"]
    assert read_pointer(tmp_path / "pointer.json") is None


def test_reader_sees_the_old_pointer_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "pointer.json"
    for number in range(20):
        write_pointer(path, {"release_id": f"r-{number}", "padding": "x" * 10_000})
        pointer = read_pointer(path)
        assert pointer is not None and pointer["release_id"] == f"r-{number}"
    assert [one.name for one in tmp_path.iterdir()] == ["pointer.json"]


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b'"r-1"', b"{}", b'{"release_id": null}', b"\x00\x00", b"\xff{"]
)
def test_a_damaged_pointer_is_told_and_left_as_it_is(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "pointer.json"
    path.write_bytes(text)
    with pytest.raises(PointerDamaged, match="move it aside") as caught:
        read_pointer(path)
    assert isinstance(caught.value, ValueError)  # who went on without one still does
    assert str(tmp_path) not in str(caught.value) and path.read_bytes() == text
