"""Log files: rotation, and following over it."""

from __future__ import annotations

from pathlib import Path

from hearth.local.logs import Follower, LogFile, read_log, rotated


def test_following_goes_on_over_a_full_file(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "0.log", max_bytes=40)
    log.write(b"before\n")
    follower = Follower(log.path)
    assert follower.read() == b""
    log.write(b"a" * 30 + b"\n")
    assert follower.read() == b"a" * 30 + b"\n"
    log.write(b"b\n")
    log.write(b"c" * 38 + b"\n")
    assert rotated(log.path).exists()
    assert follower.read() == b"b\n" + b"c" * 38 + b"\n"
    log.write(b"d\n")
    assert follower.read().endswith(b"d\n")
    log.close()
    follower.close()


def test_a_log_never_grows_beyond_its_bounds(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "0.log", max_bytes=1000)
    for number in range(500):
        log.write(f"line {number}\n".encode())
    log.close()
    assert log.path.stat().st_size <= 1000
    assert rotated(log.path).stat().st_size <= 1000
    assert log.last_line() == "line 499"
    kept = b"".join(read_log(log.path)).decode().splitlines()
    assert kept == [f"line {number}" for number in range(500 - len(kept), 500)]


def test_the_last_line_is_one_of_the_engine(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "0.log")
    log.write(b"before\n")
    log.note("replica 0 on port 20000")
    assert log.last_line() == ""
    log.write(b"out of memory\n\n  \n")
    assert log.last_line() == "out of memory"
    log.close()
