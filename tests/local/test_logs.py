"""Log files: rotation, and following over it."""

from __future__ import annotations

from pathlib import Path

from hearth.local.logs import Follower, LogFile, set_aside


def test_following_goes_on_over_a_full_file(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "0.log", max_bytes=40)
    log.write(b"before\n")
    follower = Follower(log.path)
    assert follower.read() == b""
    log.write(b"a" * 30 + b"\n")
    assert follower.read() == b"a" * 30 + b"\n"
    log.write(b"b\n")
    log.write(b"c" * 38 + b"\n")
    assert set_aside(log.path).exists()
    assert follower.read() == b"b\n" + b"c" * 38 + b"\n"
    log.write(b"d\n")
    assert follower.read().endswith(b"d\n")
    log.close()
    follower.close()
