"""What a JPEG, JPEG-LS or JPEG 2000 stream says of its own size.

A DICOM header may declare 3 × 3 pixels while the stream inside declares 60,000 × 60,000, and decoders allocate what
the stream says. So its size is read first (ITU T.81 B.2.2, T.87 C.2.2, T.800 A.5.1).
"""

from __future__ import annotations

# Start-of-frame markers: all of C0..CF but C4 (tables), C8 (reserved) and CC (conditioning); F7 is JPEG-LS.
START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
START_OF_SCAN = 0xDA
JPEG_2000 = b"\xff\x4f\xff\x51"  # start of codestream, then its size


def stream_size(stream: bytes) -> tuple[int, int] | None:
    """Give (columns, rows) as the stream declares them, or None where it declares none.

    Args:
        stream: one compressed frame, at least its beginning.
    """
    if stream[:2] == b"\xff\xd8":
        return _jpeg_size(stream)
    start = stream.find(JPEG_2000)
    if start < 0 or len(stream) < start + 24:
        return None
    right, bottom, left, top = (int.from_bytes(stream[start + i : start + i + 4], "big") for i in (8, 12, 16, 20))
    return right - left, bottom - top


def _jpeg_size(stream: bytes) -> tuple[int, int] | None:
    """Walk from marker to marker: FF, kind, then a length that counts itself."""
    at = 2
    while at + 9 <= len(stream):
        if stream[at] != 0xFF:
            at += 1  # decoders skip what is no marker
            continue
        kind = stream[at + 1]
        if kind in START_OF_FRAME:  # FF, kind, length (2), precision (1), rows (2), columns (2)
            return int.from_bytes(stream[at + 7 : at + 9], "big"), int.from_bytes(stream[at + 5 : at + 7], "big")
        if kind == START_OF_SCAN:
            return None
        if kind in (0x00, 0xFF) or kind in WITHOUT_LENGTH:
            at += 1 if kind == 0xFF else 2
        else:
            at += 2 + max(int.from_bytes(stream[at + 2 : at + 4], "big"), 2)
    return None
