import gzip

import pytest

from workbench.errors import TooLarge, UnreadableFile
from workbench.imaging.limits import check_declared, check_header, chunks, in_words, max_bytes, open_stream


def test_limit_comes_from_the_environment(monkeypatch):
    assert max_bytes() == 4 * 2**30
    monkeypatch.setenv("WORKBENCH_MAX_BYTES", "1000")
    assert max_bytes() == 1000
    monkeypatch.setenv("WORKBENCH_MAX_BYTES", "plenty")
    assert max_bytes() == 4 * 2**30


def test_a_lying_header_is_refused_before_anything_is_allocated():
    with pytest.raises(
        TooLarge, match=r"32767 × 32767 × 32767 × 32767 voxels, which need 9\.22e\+03 PB; at most 4\.29 GB"
    ):
        check_header((32767,) * 4, 8, "lie.nii")


def test_small_voxels_count_as_float32(monkeypatch):
    monkeypatch.setenv("WORKBENCH_MAX_BYTES", "4000")
    assert check_header((10, 10, 10), 1, "a") == 1000
    with pytest.raises(TooLarge):
        check_header((10, 10, 11), 1, "a")


@pytest.mark.parametrize("shape", [(0, 3, 3), (-1, 3, 3), ()])
def test_empty_axes_are_refused(shape):
    with pytest.raises(UnreadableFile, match="every axis needs at least one"):
        check_header(shape, 4, "a.nii")


def test_a_file_cannot_hold_more_than_deflate_could_pack(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(1000))
    check_declared(1000, path, compressed=False)
    check_declared(1_000_000, path, compressed=True)
    with pytest.raises(UnreadableFile, match="truncated or its header is wrong"):
        check_declared(1001, path, compressed=False)
    with pytest.raises(UnreadableFile):
        check_declared(2_000_000, path, compressed=True)


@pytest.mark.parametrize("packed", [False, True])
def test_chunks_give_exactly_what_was_declared(tmp_path, packed):
    content = bytes(range(256)) * 50_000  # 12.8 MB, four chunks
    path = tmp_path / "a.bin"
    path.write_bytes(gzip.compress(content, 1) if packed else content)
    with open_stream(path) as stream:
        pieces = list(chunks(stream, 9_000_000, 3, "a.bin"))
    assert b"".join(pieces) == content[:9_000_000] and all(len(p) % 3 == 0 for p in pieces)


def test_an_early_end_is_a_sentence(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(10))
    with open_stream(path) as stream, pytest.raises(UnreadableFile, match=r"ends after 10 bytes .* declares 12 bytes"):
        list(chunks(stream, 12, 4, "a.bin"))


def test_bytes_in_words():
    assert [in_words(n) for n in (12, 1500, 2.5e9)] == ["12 bytes", "1.5 kB", "2.5 GB"]
