"""Files appear whole or not at all."""

import errno
import os
import sys

import pytest

from mmcore.files import replacing, unwritable


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "page"
    path.write_bytes(b"old")

    def interrupted():
        with replacing(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_fills_up_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"), replacing(tmp_path / "page") as file:
        file.write(b"new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "kept").mkdir()
    link = tmp_path / "page"
    link.symlink_to(tmp_path / "kept" / "page")
    with replacing(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert (tmp_path / "kept" / "page").read_bytes() == b"new"


@pytest.mark.skipif(sys.platform == "win32", reason="has no /dev/null")
def test_what_is_no_file_is_written_as_it_is():
    assert unwritable(os.devnull) is None
    with replacing(os.devnull) as file:
        file.write(b"gone")
    assert not os.path.isfile(os.devnull)


@pytest.mark.skipif(sys.platform == "win32", reason="modes are another thing there")
def test_a_new_file_has_the_mode_of_any_new_file(tmp_path):
    with replacing(tmp_path / "page"):
        pass
    (tmp_path / "other").touch()
    assert (tmp_path / "page").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_what_cannot_be_written_is_known_before(tmp_path, monkeypatch):
    assert unwritable(tmp_path) == "a file, not a folder"
    assert unwritable(tmp_path / "no" / "page") == "in a folder that exists"
    assert unwritable(tmp_path / "page") is None
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert unwritable(tmp_path / "page") == "in a folder that can be written"


def test_a_folder_in_the_way_is_left_alone(tmp_path):
    (tmp_path / "page").mkdir()
    with pytest.raises(OSError), replacing(tmp_path / "page") as file:
        file.write(b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["page"]
