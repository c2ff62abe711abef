"""One file over real HTTP on this machine: resumed, checked, and never visible unless it is right."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.pull.download import Downloader, check_url
from agent.pull.errors import PullFailed
from tests.unit.agent.pull.pull_server import DATA, Files, certificate, serving

SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def files() -> Files:
    return Files()


@pytest.fixture
def url(files: Files) -> Iterator[str]:
    with serving(files) as base:
        yield f"{base}/model.bin"


def quiet(_have: int, _total: int) -> None:
    return


def fetch(url: str, part: Path, *, size: int | None = len(DATA), sha: str = SHA) -> list[tuple[int, int]]:
    told: list[tuple[int, int]] = []
    downloader = Downloader(timeout_s=0.4, pause=lambda _s: None)
    downloader.fetch(url, part, size=size, sha256=sha, progress=lambda have, total: told.append((have, total)))
    return told


def test_file_comes_whole_and_progress_ends_at_its_size(url: str, tmp_path: Path) -> None:
    told = fetch(url, tmp_path / "a.part")
    assert (tmp_path / "a.part").read_bytes() == DATA
    assert told[0] == (0, len(DATA))
    assert told[-1] == (len(DATA), len(DATA))
    assert [have for have, _ in told] == sorted(have for have, _ in told)


def test_interrupted_download_goes_on_where_it_stopped(url: str, files: Files, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(DATA[:100_000])
    fetch(url, tmp_path / "a.part")
    assert files.asked == [("/model.bin", "bytes=100000-")]
    assert (tmp_path / "a.part").read_bytes() == DATA


def test_connection_that_breaks_is_asked_again_from_there(url: str, files: Files, tmp_path: Path) -> None:
    files.cut_after = [70_000, 10, 200_000]
    fetch(url, tmp_path / "a.part")
    assert [asked for _, asked in files.asked] == ["", "bytes=70000-", "bytes=70010-", "bytes=270010-"]
    assert (tmp_path / "a.part").read_bytes() == DATA


def test_server_without_ranges_begins_again(url: str, files: Files, tmp_path: Path) -> None:
    files.ranges, files.cut_after = False, [70_000]
    fetch(url, tmp_path / "a.part")
    assert (tmp_path / "a.part").read_bytes() == DATA


def test_server_without_lengths_is_held_to_the_pin(url: str, files: Files, tmp_path: Path) -> None:
    files.announce, files.cut_after = False, [70_000]
    fetch(url, tmp_path / "a.part")
    assert (tmp_path / "a.part").read_bytes() == DATA


def test_server_that_stops_sending_is_left_and_asked_again(url: str, files: Files, tmp_path: Path) -> None:
    files.stall_after = 50_000
    fetch(url, tmp_path / "a.part")
    assert [asked for _, asked in files.asked] == ["", "bytes=50000-"]


def test_errors_that_pass_are_tried_again(url: str, files: Files, tmp_path: Path) -> None:
    files.status = [503, 429, 500]
    fetch(url, tmp_path / "a.part")
    assert len(files.asked) == 4


def test_broken_server_is_given_up_and_what_came_is_kept(url: str, files: Files, tmp_path: Path) -> None:
    files.cut_after = [60_000, 0, 0, 0, 0, 0]
    with pytest.raises(PullFailed, match=r"ended after 60000 of 512000 bytes; 60000 bytes are kept"):
        fetch(url, tmp_path / "a.part")
    assert (tmp_path / "a.part").read_bytes() == DATA[:60_000]


def test_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PullFailed, match=r"Connection refused"):
        fetch("http://127.0.0.1:9/model.bin", tmp_path / "a.part")


@pytest.mark.parametrize(("status", "told"), [(404, "HTTP 404"), (401, "wants an account"), (403, "wants an account")])
def test_refusals_are_final(url: str, files: Files, tmp_path: Path, status: int, told: str) -> None:
    files.status = [status]
    with pytest.raises(PullFailed, match=told):
        fetch(url, tmp_path / "a.part")
    assert len(files.asked) == 1


def test_wrong_bytes_are_deleted(url: str, files: Files, tmp_path: Path) -> None:
    files.data["model.bin"] = DATA[:-1] + b"x"
    with pytest.raises(PullFailed, match=f"pinned is {SHA}; deleted"):
        fetch(url, tmp_path / "a.part")
    assert not (tmp_path / "a.part").exists()


def test_beginning_of_another_file_is_found_out(url: str, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(b"x" * 1000)
    with pytest.raises(PullFailed, match="deleted"):
        fetch(url, tmp_path / "a.part")
    fetch(url, tmp_path / "a.part")


def test_part_that_is_longer_than_the_file_is_deleted(url: str, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(DATA + b"more")
    with pytest.raises(PullFailed, match=r"512004 bytes, the pinned file has 512000; deleted"):
        fetch(url, tmp_path / "a.part")


@pytest.mark.parametrize("lie", [-1000, 1000])
def test_announced_length_that_is_not_the_pinned_one_stops_at_once(
    url: str, files: Files, tmp_path: Path, lie: int
) -> None:
    files.lie = lie
    with pytest.raises(PullFailed, match=r"offers \d+ bytes, the pinned file has 512000"):
        fetch(url, tmp_path / "a.part")
    assert not (tmp_path / "a.part").exists()


def test_more_than_the_pinned_size_is_not_taken(url: str, files: Files, tmp_path: Path) -> None:
    files.announce, files.extra = False, b"x" * 5_000_000
    with pytest.raises(PullFailed, match="more than the 512000 bytes"):
        fetch(url, tmp_path / "a.part")
    assert (tmp_path / "a.part").stat().st_size <= len(DATA)


def test_file_of_unknown_size_is_held_to_its_checksum(url: str, files: Files, tmp_path: Path) -> None:
    files.cut_after = [70_000]
    fetch(url, tmp_path / "a.part", size=None)
    (tmp_path / "a.part").unlink()
    with pytest.raises(PullFailed, match="SHA-256"):
        fetch(url, tmp_path / "a.part", size=None, sha="0" * 64)


def test_part_that_the_server_does_not_have_begins_again(url: str, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(DATA + b"more")
    fetch(url, tmp_path / "a.part", size=None)
    assert (tmp_path / "a.part").read_bytes() == DATA


def test_redirects_are_followed(url: str, tmp_path: Path) -> None:
    with serving(Files(redirect=url)) as other:
        fetch(f"{other}/elsewhere", tmp_path / "a.part")


def test_range_and_relative_addresses_survive_redirects(url: str, files: Files, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(DATA[:1000])
    with serving(Files(redirect=url)) as other:
        fetch(f"{other}/resolve/model.bin", tmp_path / "a.part")
    assert files.asked == [("/model.bin", "bytes=1000-")]
    files.moved["/resolve/model.bin"] = "../model.bin"
    (tmp_path / "a.part").unlink()
    fetch(url.replace("/model.bin", "/resolve/model.bin"), tmp_path / "a.part")


def test_endless_redirects_end(files: Files, url: str, tmp_path: Path) -> None:
    files.redirect = url
    with pytest.raises(PullFailed):
        fetch(url, tmp_path / "a.part")
    assert len(files.asked) < 20


@pytest.mark.parametrize("target", ["http://192.0.2.7/model.bin", "file:///etc/passwd", "ftp://192.0.2.7/model.bin"])
def test_redirect_to_something_unsafe_is_refused(target: str, tmp_path: Path) -> None:
    with serving(Files(redirect=target)) as base, pytest.raises(PullFailed, match=r"refused|not allowed"):
        fetch(f"{base}/model.bin", tmp_path / "a.part")


def test_tls_is_checked_and_never_left(files: Files, url: str, tmp_path: Path) -> None:
    server, trusting = certificate(tmp_path)
    part = tmp_path / "a.part"
    with serving(Files(), server) as safe:
        Downloader(context=trusting).fetch(f"{safe}/model.bin", part, size=len(DATA), sha256=SHA, progress=quiet)
        part.unlink()
        with pytest.raises(PullFailed, match="certificate verify failed"):
            Downloader().fetch(f"{safe}/model.bin", part, size=len(DATA), sha256=SHA, progress=quiet)
    with serving(Files(redirect=url), server) as downgrading, pytest.raises(PullFailed, match="leaves https"):
        Downloader(context=trusting).fetch(f"{downgrading}/m", part, size=len(DATA), sha256=SHA, progress=quiet)
    assert files.asked == []


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("https://example.org/a", True),
        ("http://127.0.0.1:8000/a", True),
        ("http://[::1]/a", True),
        ("http://localhost/a", True),
        ("http://example.org/a", False),
        ("http://127.0.0.1.example.org/a", False),
        ("file:///a", False),
        ("https:///a", False),
        ("https://[::1", False),
        ("", False),
    ],
)
def test_addresses_must_be_encrypted_or_of_this_machine(url: str, fits: bool) -> None:
    if fits:
        check_url(url)
    else:
        with pytest.raises(PullFailed):
            check_url(url)
