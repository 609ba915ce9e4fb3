"""Every kind of pixel has one rule: it becomes 8-bit RGB by it, or is refused by its mode."""

import io
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kdgap.data import Request, load_dataset, pixels
from kdgap.data.pixels import FORMATS, ImageError, exact, fitted, to_rgb
from kdgap.errors import BadInputError
from tests.bills import bill

WHITE = (255, 255, 255)
SIDE = 6


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def read(content: bytes, side: int = SIDE) -> np.ndarray:
    return fitted(io.BytesIO(content), side)


def refusal(content: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        read(content)
    message = str(caught.value)
    assert "\n" not in message
    return message


def attempt(convert: Callable[[Any], Any], given: object) -> Any:
    """Return what a conversion gives, or why it refuses."""
    try:
        return convert(given)
    except ImageError as error:
        return str(error)


def chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def png(bits: int, colour: int, rows: Iterable[bytes], width: int, *, key: bytes = b"") -> bytes:
    """Write a PNG; `key` is its tRNS chunk, one transparent value in the file's own samples."""
    rows = list(rows)
    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, 0)
    chunks = [chunk(b"IHDR", header)]
    if key:
        chunks.append(chunk(b"tRNS", key))
    chunks.append(chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))))
    return b"\x89PNG\r\n\x1a\n" + b"".join([*chunks, chunk(b"IEND", b"")])


def tiff(
    content: bytes, width: int, height: int, *, bits: int, photometric: int = 1, form: int = 1
) -> bytes:
    """Write a TIFF of one strip and one channel; `form` is its SampleFormat."""
    tags = [
        (256, 3, width),
        (257, 3, height),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8),
        (277, 3, 1),
        (278, 3, height),
        (279, 4, len(content)),
        (339, 3, form),
    ]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return struct.pack("<2sHI", b"II", 42, 8 + len(content)) + content + directory


def grey16() -> np.ndarray:
    """Grey values of 16 bits over the whole range."""
    values = np.random.default_rng(0).integers(0, 2**16, (SIDE, SIDE)).astype(np.uint16)
    values[0, :2] = 0, 65535
    return values


# --- 16 bits


@pytest.mark.parametrize(
    "write",
    [
        lambda values: encoded(Image.fromarray(values), "PNG"),
        lambda values: encoded(Image.fromarray(values), "TIFF"),
        lambda values: encoded(Image.fromarray(values), "TIFF", compression="tiff_lzw"),
        lambda values: encoded(Image.fromarray(values.astype(">u2")), "TIFF"),
        lambda values: b"P5 6 6 65535\n" + values.astype(">u2").tobytes(),
        lambda values: b"P2 6 6 65535\n" + " ".join(map(str, values.flat)).encode(),
        lambda values: png(16, 4, _with_alpha(values), SIDE),
    ],
    ids=["PNG", "TIFF", "TIFF LZW", "TIFF big-endian", "PGM", "plain PGM", "PNG with alpha"],
)
def test_sixteen_bits_keep_their_upper_eight(write: Callable[[np.ndarray], bytes]) -> None:
    values = grey16()
    assert np.array_equal(read(write(values)), np.stack([values >> 8] * 3, axis=2))


def _with_alpha(values: np.ndarray) -> list[bytes]:
    opaque = np.stack([values, np.full_like(values, 65535)], axis=2)
    return [row.astype(">u2").tobytes() for row in opaque]


def test_a_tiff_whose_zero_is_white_is_no_negative() -> None:
    values = grey16()
    content = tiff(values.astype("<u2").tobytes(), SIDE, SIDE, bits=16, photometric=0)
    assert np.array_equal(read(content)[..., 0], 255 - (values >> 8))


def test_twelve_bits_are_scaled_by_their_own_range() -> None:
    content = tiff(bytes([0xFF, 0xF0, 0x00] * 2), 2, 2, bits=12)  # 4095, 0 in each row
    assert exact(content, (1, 2, 2))[..., 0].tolist() == [[255, 0], [255, 0]]


def test_sixteen_bit_colours_are_scaled() -> None:
    colours = np.random.default_rng(1).integers(0, 2**16, (SIDE, SIDE, 3)).astype(">u2")
    content = png(16, 2, [row.tobytes() for row in colours], SIDE)
    assert np.array_equal(read(content), colours >> 8)


# --- transparency


def square(mode: str, beneath: tuple[int, ...], above: tuple[int, ...]) -> Image.Image:
    """A transparent image with one opaque pixel."""
    image = Image.new(mode, (SIDE, SIDE), beneath)
    image.putpixel((2, 3), above)
    return image


@pytest.mark.parametrize("beneath", [0, 90, 255])
@pytest.mark.parametrize(
    ("mode", "form", "options"),
    [
        ("RGBA", "PNG", {}),
        ("RGBA", "WEBP", {"lossless": True, "exact": True}),
        ("RGBA", "TIFF", {}),
        ("RGBA", "TIFF", {"compression": "tiff_lzw"}),
        ("LA", "PNG", {}),
        ("LA", "TIFF", {}),
        ("RGBA", "GIF", {}),
    ],
)
def test_what_lies_beneath_transparency_is_not_seen(
    beneath: int, mode: str, form: str, options: dict[str, object]
) -> None:
    colours = len(mode) - 1
    image = square(mode, (*[beneath] * colours, 0), (*[60] * colours, 255))
    expected = Image.new("RGB", (SIDE, SIDE), WHITE)
    expected.putpixel((2, 3), (60, 60, 60))
    assert np.array_equal(read(encoded(image, form, **options)), np.asarray(expected))


@pytest.mark.parametrize("mode", ["LA", "La", "PA", "RGBA", "RGBa"])
def test_every_mode_with_alpha_is_laid_on_white(mode: str) -> None:
    assert to_rgb(Image.new(mode, (1, 1))).getpixel((0, 0)) == WHITE


@pytest.mark.parametrize("alpha", [0, 1, 64, 127, 254, 255])
def test_half_transparent_pixels_are_mixed_with_white(alpha: int) -> None:
    array = read(encoded(Image.new("RGBA", (SIDE, SIDE), (10, 100, 200, alpha)), "PNG"))
    expected = [round((alpha * c + (255 - alpha) * 255) / 255) for c in (10, 100, 200)]
    assert array[0, 0].tolist() == expected


@pytest.mark.parametrize("transparency", [1, bytes([255, 0]), bytes([255, 0] + [255] * 254)])
def test_a_transparent_palette_entry_is_white(transparency: int | bytes) -> None:
    image = Image.new("P", (SIDE, SIDE), 1)
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.putpixel((0, 0), 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        array = read(encoded(image, "PNG", transparency=transparency))
    assert array[0, 0].tolist() == [10, 20, 30]
    assert (array.reshape(-1, 3)[1:] == 255).all()


@pytest.mark.parametrize(
    ("bits", "row", "key", "expected"),
    [
        (1, b"\x40", 0, [255, 255]),
        (2, b"\x90", 2, [255, 85]),
        (4, b"\xe3", 14, [255, 51]),
        (8, b"\x07\x80", 7, [255, 128]),
        (16, b"\x12\x34\x12\x35", 0x1234, [255, 0x12]),
    ],
    ids=["1 bit", "2 bits", "4 bits", "8 bits", "16 bits"],
)
def test_one_transparent_grey_is_known_at_every_depth(
    bits: int, row: bytes, key: int, expected: list[int]
) -> None:
    content = png(bits, 0, [row, row], 2, key=struct.pack(">H", key))
    assert exact(content, (1, 2, 2))[..., 0].tolist() == [expected] * 2


def test_one_transparent_colour_is_white() -> None:
    row = bytes([1, 2, 3, 4, 5, 6])
    content = png(8, 2, [row, row], 2, key=struct.pack(">HHH", 1, 2, 3))
    assert exact(content, (3, 2, 2))[0].tolist() == [[255] * 3, [4, 5, 6]]


def test_one_transparent_colour_of_sixteen_bits_is_refused() -> None:
    row = struct.pack(">HHH", 1, 2, 3) * 2
    message = refusal(png(16, 2, [row, row], 2, key=struct.pack(">HHH", 1, 2, 3)))
    assert "16 bits" in message
    assert "mode RGB" in message


# --- other modes


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        (encoded(Image.new("F", (3, 3)), "TIFF"), "F"),
        (encoded(Image.new("F", (3, 3)), "PPM"), "F"),
        (encoded(Image.new("I", (3, 3)), "TIFF"), "I"),
        (tiff(bytes(4 * 9), 3, 3, bits=32, form=1), "I"),
        (tiff(bytes(2 * 9), 3, 3, bits=16, form=2), "I"),
        (tiff(bytes(9), 3, 3, bits=8, form=2), "L"),
        (encoded(Image.new("LAB", (3, 3)), "TIFF"), "LAB"),
    ],
    ids=["float TIFF", "PFM", "int32", "uint32", "int16", "int8", "LAB"],
)
def test_pixels_without_an_agreed_range_are_refused_by_their_mode(
    content: bytes, mode: str
) -> None:
    assert f"mode {mode}" in refusal(content)


def test_every_mode_of_the_library_is_defined_or_refused() -> None:
    for mode in [*Image.MODES, "La", "RGBa", "PA", "LA", "I;16L", "I;16N"]:
        try:
            image = Image.new(mode, (2, 2))
        except ValueError:
            continue  # this version does not have it
        result = attempt(to_rgb, image)
        defined = isinstance(result, Image.Image) and result.mode == "RGB"
        assert defined or f"mode {mode}" in str(result)


def test_inks_become_the_colours_that_they_print() -> None:
    red = Image.new("CMYK", (SIDE, SIDE), (0, 255, 255, 0))
    for content in (encoded(red, "TIFF"), encoded(red, "JPEG", quality=100)):
        assert np.abs(read(content)[0, 0].astype(int) - (255, 0, 0)).max() < 3


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_what_was_plain_stays_as_it_was(mode: str) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (9, 14, 3), dtype=np.uint8)
    image = Image.fromarray(noise).convert(mode)
    plain = np.asarray(image.convert("RGB"))
    assert np.array_equal(exact(encoded(image, "PNG"), (3, 9, 14)), plain)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_of_several_frames_the_first_is_taken(form: str) -> None:
    frames = [Image.new("RGB", (SIDE, SIDE), colour) for colour in ("red", "lime", "blue")]
    options: dict[str, Any] = {"lossless": True} if form == "WEBP" else {}
    content = encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)
    assert np.abs(read(content).astype(int) - (255, 0, 0)).max() < 3  # JPEG is not exact


# --- EXIF

UPRIGHT = np.zeros((8, 16, 3), np.uint8)
UPRIGHT[:, :8, 0] = 255  # left red
UPRIGHT[:4, :, 1] = 255  # above green
STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}
"""How an upright image is stored under each orientation (EXIF 2.3, tag 274)."""


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"save_all": True, "append_images": [Image.new("RGB", (16, 8))]}),
    ],
    ids=["JPEG", "PNG", "WebP", "TIFF", "TIFF LZW", "TIFF of pages"],
)
def test_a_photo_is_turned_once_as_viewers_show_it(
    orientation: int, form: str, options: dict[str, Any]
) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](UPRIGHT)))
    array = exact(encoded(stored, form, exif=exif, **options), (3, 8, 16))
    assert np.abs(array.astype(int) - UPRIGHT).max() < 60


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"]
)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_an_image_whose_exif_is_broken_is_read_as_it_is(exif: bytes, form: str) -> None:
    image = Image.fromarray(UPRIGHT)
    content = encoded(image, form, exif=exif)
    with pixels.decoders():
        assert exact(content, (3, 8, 16)).shape == (8, 16, 3)


# --- formats


@pytest.mark.parametrize("form", FORMATS)
def test_every_named_format_is_read_whatever_the_file_is_called(form: str, tmp_path: Path) -> None:
    path = tmp_path / "image.of.some.kind"
    path.write_bytes(encoded(Image.new("RGB", (SIDE, SIDE), "red"), form))
    assert pixels.is_image(path)
    with path.open("rb") as stream:
        assert fitted(stream, SIDE).shape == (SIDE, SIDE, 3)


def others() -> list[tuple[str, bytes]]:
    """Images in every other format that the library can write."""
    Image.init()
    files = [("EPS", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for form in sorted(set(Image.SAVE) - {*FORMATS, "MPO", "DIB", "PDF", "EPS"}):
            try:
                files.append((form, encoded(Image.new("RGB", (16, 16)), form)))
            except (OSError, ValueError, KeyError, TypeError):
                continue  # not in this build, or not of this mode
    return files


OTHERS = dict(others())


@pytest.mark.parametrize("form", OTHERS)
def test_no_other_decoder_is_started(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = OTHERS[form]

    def started(*_: object, **__: object) -> None:
        raise AssertionError("started")

    monkeypatch.setattr("subprocess.Popen", started)
    for other in set(Image.OPEN) - set(FORMATS):
        monkeypatch.setitem(Image.OPEN, other, (started, started))
    assert refusal(content).startswith("cannot be read: its content is not PNG, JPEG")
    path = tmp_path / "picture"
    path.write_bytes(content)
    assert not pixels.is_image(path)


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pixels, "to_rgb", lambda _: pytest.fail("decoded"))
    rows = [b""]
    for width, height in ((10_001, 10_000), (2**31 - 1, 2**31 - 1)):
        content = bytearray(png(1, 0, rows, 1))
        header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
        content[8:33] = chunk(b"IHDR", header)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert "pixels" in refusal(bytes(content))


def test_large_images_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    at_work: list[int] = [0, 0]  # now, at most
    counting = threading.Lock()

    def counted(image: Image.Image) -> Image.Image:
        with counting:
            at_work[0] += 1
            at_work[1] = max(at_work)
        time.sleep(0.01)
        try:
            return to_rgb(image)
        finally:
            with counting:
                at_work[0] -= 1

    monkeypatch.setattr(pixels, "to_rgb", counted)
    content = encoded(Image.new("RGB", (SIDE, SIDE)), "PNG")
    for large, expected in ((2**24, range(2, 9)), (SIDE * SIDE - 1, range(1, 2))):
        monkeypatch.setattr(pixels, "_LARGE", large)
        at_work[1] = 0
        with pixels.decoders() as pool:
            list(pool.map(read, [content] * 8))
        assert at_work[1] in expected


# --- small files with large bills


def of_scans(count: int, side: int = 64) -> bytes:
    """Return a progressive JPEG whose last scan stands there again, until it has so many."""
    content = encoded(Image.new("L", (side, side), 90), "JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * (count - content.count(b"\xff\xda")) + b"\xff\xd9"


def test_the_scans_of_a_jpeg_are_counted_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert read(of_scans(pixels.SCANS_AT_MOST)).shape == (SIDE, SIDE, 3)
    monkeypatch.setattr(pixels, "to_rgb", lambda _: pytest.fail("decoded"))
    message = "is a JPEG of more than 100 scans; save it again"
    assert refusal(of_scans(pixels.SCANS_AT_MOST + 1)) == message
    many = of_scans(50_000, 8)
    assert len(many) < 2**20
    assert refusal(many) == message
    assert message in attempt(lambda content: exact(content, (3, 8, 8)), many)


def test_what_only_looks_like_a_scan_is_none() -> None:
    """In a segment, in an image behind the first one, and in what a phone puts behind both."""
    plain = encoded(Image.new("RGB", (SIDE, SIDE), "red"), "JPEG")
    looks = b"\xff\xda\x00\x04" * 500
    segment = b"\xff\xe5" + struct.pack(">H", len(looks) + 2) + looks
    for content in (plain[:2] + segment + plain[2:], plain + looks, plain + plain * 200):
        assert np.array_equal(read(content), read(plain))
    assert pixels._scans(plain) == 1
    frames = [Image.new("RGB", (SIDE, SIDE))] * 120
    mpo = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert read(mpo).shape == (SIDE, SIDE, 3)


def test_data_of_a_jpeg_that_look_like_markers_are_passed_over() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    for progressive, expected in ((False, 1), (True, 10)):
        content = encoded(
            Image.fromarray(noise), "JPEG", quality=95, progressive=progressive,
            restart_marker_blocks=7,
        )  # fmt: skip
        assert b"\xff\x00" in content
        assert b"\xff\xd3" in content
        assert pixels._scans(content) == expected


def tiled(side: int) -> bytes:
    """Return a TIFF of 8 x 8 pixels in one tile of `side` x `side`."""
    tags = [(256, 8), (257, 8), (258, 8), (259, 5), (262, 1), (277, 1)]
    tags += [(322, side), (323, side), (324, 200), (325, 20)]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + bytes(4)
    return head + bytes(300)


_FITTED = """
import io, sys
from kdgap.data.pixels import ImageError, fitted
try:
    fitted(io.BytesIO(bytes.fromhex(sys.argv[1])), 8)
except ImageError as error:
    print(error)
"""


def test_a_tile_of_a_tiff_takes_no_more_memory_than_an_image() -> None:
    cheap, dear = (bill(_FITTED, tiled(side).hex()) for side in (16, 40_000))
    assert "has tiles of 40000 x 40000 pixels" in dear.out
    assert dear.peak < cheap.peak + 2**27


def chunks(kind: bytes, content: bytes, count: int) -> bytes:
    """Return a PNG with so many chunks of one kind that unpack to `content`."""
    whole = encoded(Image.new("RGB", (8, 8)), "PNG")
    packed = b"".join(
        chunk(kind, b"k%d\0\0" % number + zlib.compress(content)) for number in range(count)
    )
    return whole[:33] + packed + whole[33:]


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
@pytest.mark.parametrize(("size", "count"), [(2**26, 1), (2**20 - 1, 80)], ids=["one", "many"])
def test_texts_and_profiles_of_a_png_are_bounded(kind: bytes, size: int, count: int) -> None:
    content = chunks(kind, bytes(size), count)
    assert len(content) < 2**17
    tracemalloc.start()
    try:
        attempt(read, content)
        assert tracemalloc.get_traced_memory()[1] < (16 if count == 1 else 96) * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_frames_behind_the_first_are_not_decoded(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [Image.new("RGB", (SIDE, SIDE), (n, 0, 0)) for n in range(40)]
    content = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    loads: list[int] = []
    real = Image.Image.load

    def counted(image: Image.Image) -> object:
        loads.append(getattr(image, "tell", lambda: 0)())
        return real(image)

    monkeypatch.setattr(Image.Image, "load", counted)
    read(content)
    assert 0 < len(loads) < 40
    assert set(loads) == {0}


# --- in a data set


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part, name in ((part, name) for part in ("train", "test") for name in ("cat", "dog")):
        folder = tmp_path / part / name
        folder.mkdir(parents=True)
        noise = np.random.default_rng(len(part)).integers(0, 256, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "1.png")
    return tmp_path


@pytest.mark.parametrize(
    "content",
    [
        encoded(Image.new("F", (3, 3)), "TIFF"),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        encoded(Image.new("RGB", (50, 50), "red"), "TIFF", compression="tiff_lzw")[:-90],
        encoded(Image.new("RGB", (50, 50), "red"), "JPEG")[:-20],
        encoded(Image.new("RGB", (50, 50), "red"), "GIF")[:-20],
        encoded(Image.new("RGB", (50, 50), "red"), "WEBP")[:-20],
        encoded(Image.new("RGB", (50, 50), "red"), "BMP")[:-20],
        b"P6 3 3 255\n" + bytes(5),
        b"P6 0 3 255\n",
    ],
    ids=["float", "EPS", "TIFF", "JPEG", "GIF", "WebP", "BMP", "PPM", "no pixels"],
)
def test_what_cannot_be_used_is_named_by_its_file(content: bytes, root: Path) -> None:
    path = root / "train" / "cat" / "2.png"
    path.write_bytes(content)
    with pytest.raises(BadInputError) as caught:
        load_dataset("imagefolder", Request(root, 8))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


_LOAD = """
import sys
from pathlib import Path
from kdgap.data import Request, load_dataset
from kdgap.errors import BadInputError
for root in sys.argv[1:]:
    try:
        load_dataset("imagefolder", Request(Path(root), 8))
    except BadInputError:
        pass
"""


def test_nothing_that_a_library_prints_reaches_the_terminal(root: Path) -> None:
    folder = root / "train" / "cat"
    image = Image.open(folder / "1.png").convert("P")
    image.save(folder / "palette.png", transparency=bytes(range(256)))
    animated = bytearray(encoded(image, "PNG"))
    animated[33:33] = chunk(b"acTL", struct.pack(">II", 0, 0))  # an animation of no frame
    (folder / "animated.png").write_bytes(animated)
    odd = bytearray(tiff(bytes(9), 3, 3, bits=8))
    odd[-16:-12] = struct.pack("<HH", 270, 2)  # a text that would lie beyond the end
    odd[-12:-4] = struct.pack("<II", 2**16, 2**20)
    (folder / "odd.tif").write_bytes(odd)
    broken = root / "broken"
    for part in ("train", "test"):
        (broken / part / "cat").mkdir(parents=True)
        content = bytearray(encoded(image, "TIFF", compression="tiff_adobe_deflate"))
        content[20:40] = bytes(20)  # libtiff itself prints of this
        (broken / part / "cat" / "1.tif").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", _LOAD, root, broken], capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")


def test_another_decoder_decodes_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []

    def counted(stream: io.BufferedReader, size: int) -> np.ndarray:
        decoded.append(size)
        return fitted(stream, size)

    monkeypatch.setattr("kdgap.data.decoding.fitted", counted)
    load_dataset("imagefolder", Request(root, 8))
    load_dataset("imagefolder", Request(root, 8))
    assert len(decoded) == 4
    for name, value in (("__version__", "1.2.3"), ("_CONVERSION", "next")):
        monkeypatch.setattr(pixels, name, value)
        load_dataset("imagefolder", Request(root, 8))
    assert len(decoded) == 12


# --- any bytes


@given(
    mode=st.sampled_from(
        ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"]
    ),
    form=st.sampled_from(FORMATS),
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    content=st.binary(min_size=1, max_size=64),
    options=st.fixed_dictionaries(
        {},
        optional={
            "transparency": st.one_of(st.integers(0, 300), st.binary(min_size=1, max_size=20)),
            "compression": st.sampled_from(["tiff_lzw", "jpeg", "group4", "raw"]),
            "exif": st.binary(max_size=30),
        },
    ),
    damage=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4),
    keep=st.floats(0, 1) | st.just(1.0),
)
def test_any_file_is_pixels_or_one_line(
    mode: str,
    form: str,
    width: int,
    height: int,
    content: bytes,
    options: dict[str, Any],
    damage: list[tuple[float, int]],
    keep: float,
) -> None:
    image = Image.new(mode, (width, height))
    size = len(image.tobytes())
    image.frombytes((content * (size // len(content) + 1))[:size])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            file = bytearray(encoded(image, form, **options))
        except Exception:  # noqa: BLE001  (not every format has every mode)
            file = bytearray(content)
        for place, value in damage:
            file[int(place * (len(file) - 1))] = value
        file = file[: round(keep * len(file))]
        outcome = attempt(read, bytes(file))
    if isinstance(outcome, str):
        assert outcome
        assert "\n" not in outcome
    else:
        assert outcome.shape == (SIDE, SIDE, 3)
        assert outcome.dtype == np.uint8
