"""Any image that is read becomes 8-bit RGB by the rules of one table.

An image's content decides what it is, not its name. Decoded are PNG, JPEG, GIF, BMP, WebP, TIFF and
PPM (PGM, PBM); no other decoder is ever started, so no file reaches Ghostscript or its like.

    colour, grey, palette, two levels   as they are; grey becomes three equal channels
    16 bits a channel (and 12: TIFF)    scaled to 8: the upper 8 bits (PPM: rounded)
    transparency of every form          laid on white; colours beneath it are never seen
    CMYK, YCbCr                         to RGB; a JPEG's CMYK is inverted, as Adobe writes it
    EXIF orientation                    turned as viewers show it; unreadable EXIF turns nothing
    several frames or pages             the first one
    colour profiles, gamma              not applied
    32-bit whole numbers, decimals      refused: no range is agreed on (modes I and F)
    signed numbers, LAB, HSV            refused
    a 16-bit colour PNG with one        refused: after scaling, the colour is not
        colour declared transparent         known any more
    torn or damaged                     refused
    above 100 million pixels            refused before decoding
    above 16 million pixels             decoded one at a time: about 1.6 GB of memory at most
    a JPEG of more than 100 scans       refused before decoding: each goes over all pixels
    a TIFF with tiles above 100         refused before decoding: a tile is unpacked whole, however
        million pixels                      small the image is
    texts and profiles of a PNG         1 MiB each and 64 MiB in all, by the library

Refused means: an error that names the file and its mode. What a decoder warns of is not shown.
"""

import io
import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, __version__, features

from kdgap import disk
from kdgap.errors import one_line
from kdgap.files import open_file
from kdgap.placeholder import HEAD_BYTES, placeholder

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
SUFFIXES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".dib"}
    | {".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
)
"""Names that promise an image: such a file is one, or an error."""
PIXELS_AT_MOST = 100_000_000
SCANS_AT_MOST = 100
"""Of a progressive JPEG; encoders write about ten. libtiff has the same bound for its own."""
BACKGROUND = "white"
_CONVERSION = "2"  # raised whenever the table changes
_LARGE = 2**24  # images of more pixels are decoded one at a time, which bounds the memory
_large_lock = threading.RLock()
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_MARKER = re.compile(rb"\xff+([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)
"""Of a JPEG: one that begins a segment (0 is a byte of data) or, 0xD9, ends the image."""
_KEY_SCALE = {"L;2": 85, "L;4": 17}  # Pillow scales such samples to 8 bits, but not their key

# Without a handler of its own, what the library logs would go to the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())


class ImageError(ValueError):
    """Why an image cannot be used, in words that follow its name."""


def decoder_version() -> str:
    """Return what decides on pixels beside the files: our table, Pillow and its codecs."""
    codecs = ("libjpeg_turbo", "zlib", "libtiff", "webp")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an older Pillow does not know every name
        versions = [f"{name} {features.version(name)}" for name in codecs]
    return " ".join([_CONVERSION, "Pillow", __version__, *versions])


def is_image(path: Path) -> bool:
    """Whether a file is to be an image: by its name, or else by its first bytes.

    Raises:
        OSError: it cannot be read.
    """
    if path.suffix.lower() in SUFFIXES:
        return True
    with open_file(path) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stream.peek(1)  # here a file that cannot be read fails as such
        try:
            Image.open(stream, formats=FORMATS)
        except Image.DecompressionBombError:
            return True
        except Exception:  # noqa: BLE001  (foreign bytes find every error of a decoder)
            return False
    return True


@contextmanager
def decoders() -> Iterator[ThreadPoolExecutor]:
    """Give threads to decode on, with the library's warnings off."""
    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore")  # for the process: threads have no filters of their own
        yield pool


def fitted(stream: BinaryIO, size: int | tuple[int, int] | None) -> np.ndarray:
    """Return an image uint8 `[H, W, 3]`: resized until it covers the size, the centre kept.

    Args:
        stream: the encoded image.
        size: side in pixels, or height and width; None = as it is.

    Raises:
        ImageError: it cannot be read, or the table refuses it.
    """
    with _opened(stream) as image:
        if image.width * image.height > PIXELS_AT_MOST:
            raise ImageError(
                f"has {image.width} x {image.height} pixels, more than {PIXELS_AT_MOST:,}"
            )
        large = image.width * image.height > _LARGE
        with _large_lock if large else nullcontext():
            upright = to_rgb(image)
            if size is None:
                return np.array(upright)
            height, width = (size, size) if isinstance(size, int) else size
            return np.asarray(ImageOps.fit(upright, (width, height), Image.Resampling.BILINEAR))


def upright_size(stream: BinaryIO) -> tuple[int, int]:
    """Return height and width of an image as viewers show it; its pixels are not decoded.

    Raises:
        ImageError: it cannot be read.
    """
    with _opened(stream) as image:
        lies = _orientation(image) in (5, 6, 7, 8)
        return (image.width, image.height) if lies else (image.height, image.width)


def exact(encoded: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """Return an image uint8 `[H, W, C]` that has the shape `(C, H, W)` already.

    Raises:
        ImageError: it cannot be read, the table refuses it, or it has another size.
    """
    channels, height, width = shape
    with _opened(io.BytesIO(encoded)) as image:
        if sorted(image.size) != sorted((width, height)):
            raise ImageError(f"is {image.height}x{image.width}, expected {height}x{width}")
        upright = to_rgb(image)
        if upright.size != (width, height):
            raise ImageError(f"is {upright.height}x{upright.width}, expected {height}x{width}")
        array = np.asarray(upright if channels == 3 else upright.convert("L"))
        return array.reshape(height, width, channels)


@contextmanager
def _opened(stream: BinaryIO) -> Iterator[Image.Image]:
    """Open an image; whatever goes wrong with it becomes an `ImageError`."""
    try:
        with Image.open(stream, formats=FORMATS) as image:
            if not image.width * image.height:
                raise ImageError("has no pixels")
            _refuse_costly(stream, image)
            yield image
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise ImageError(f"has more than {PIXELS_AT_MOST:,} pixels") from None
    except UnidentifiedImageError:  # its own text holds a memory address
        head = _head(stream)
        if not head:
            raise ImageError("is empty") from None
        if what := placeholder(head):
            raise ImageError(what) from None
        named = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise ImageError(f"cannot be read: its content is not {named}") from None
    except Exception as error:  # noqa: BLE001  (foreign bytes find every error of a decoder)
        reason = one_line(error, 120) or type(error).__name__
        raise ImageError(f"cannot be read as an image ({reason})") from None


def _refuse_costly(stream: BinaryIO, image: Image.Image) -> None:
    """Refuse an opened image whose decoding costs far more than its pixels."""
    if image.format in ("JPEG", "MPO"):
        place = stream.tell()
        stream.seek(0)
        if _scans(stream.read()) > SCANS_AT_MOST:
            raise ImageError(f"is a JPEG of more than {SCANS_AT_MOST} scans; save it again")
        stream.seek(place)
    tags: Any = getattr(image, "tag_v2", {})
    sides = [tags.get(tag, 1) for tag in (_TILE_WIDTH, _TILE_LENGTH)]
    if image.format == "TIFF" and sides[0] * sides[1] > PIXELS_AT_MOST:
        raise ImageError(f"has tiles of {sides[0]} x {sides[1]} pixels, more than its own")


def _scans(content: bytes) -> int:
    """Return the number of scans of a JPEG, up to one beyond the bound."""
    count = place = 0
    while count <= SCANS_AT_MOST and (marker := _MARKER.search(content, place)):
        kind, place = marker[1][0], marker.end()
        if kind == 0xD9:
            break
        count += kind == 0xDA
        place += int.from_bytes(content[place : place + 2], "big")
    return count


def _head(stream: BinaryIO) -> bytes:
    with suppress(OSError):
        stream.seek(0)
        return stream.read(HEAD_BYTES)
    return b""


@contextmanager
def _silent_libtiff() -> Iterator[None]:
    """Keep what libtiff prints about a damaged file off the terminal: the error says it.

    It writes to the process's standard error itself, and Pillow has no way to ask it not to.
    """
    with _large_lock:
        nowhere = disk.call(disk.current.open, Path(os.devnull), os.O_WRONLY)
        try:
            terminal = os.dup(2)
        except OSError:  # there is none
            disk.current.close(nowhere)
            yield
            return
        os.dup2(nowhere, 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            disk.current.close(nowhere)


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an opened image in mode RGB, upright, by the table above.

    Raises:
        ImageError: the table refuses its mode.
        Exception: whatever the decoder raises for a damaged file.
    """
    tags: Any = getattr(image, "tag_v2", {})
    sample_formats, bits = tags.get(_SAMPLE_FORMAT, (1,)), tags.get(_BITS, (16,))[0]
    negative = tags.get(_PHOTOMETRIC) == 0
    tile: Any = getattr(image, "tile", None)
    coding = tile[0][3] if tile and image.format == "PNG" else None
    with _silent_libtiff() if image.format == "TIFF" else nullcontext():
        image.load()
    mode, key = image.mode, image.info.get("transparency")
    if 2 in sample_formats:
        raise ImageError(f"holds signed numbers (mode {mode}), whose range is not agreed on")
    if coding == "RGB;16B" and key is not None:
        raise ImageError(
            f"has 16 bits a channel and one transparent colour (mode {mode}); save it with alpha"
        )
    if mode.startswith("I;16") or (mode == "I" and image.format in ("PNG", "PPM")):
        flat = _upper_bits(np.asarray(image), bits, key, negative=negative)
    elif mode in ("LA", "La", "PA", "RGBA", "RGBa") or key is not None:
        if coding in _KEY_SCALE and isinstance(key, int):
            image.info["transparency"] = key * _KEY_SCALE[coding]
        flat = _on_background(image)
    elif mode in ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr"):
        flat = image.convert("RGB")
    else:
        raise ImageError(f"has pixels of mode {mode}, for which no one way to 8-bit RGB is agreed")
    turn = _TURNS.get(_orientation(image))
    return flat if turn is None else flat.transpose(turn)


def _upper_bits(values: np.ndarray, bits: int, key: object, *, negative: bool) -> Image.Image:
    """Return grey values `[H, W]` of up to 16 bits as RGB; `key` is the transparent one."""
    if values.min() < 0 or values.max() >= 2**bits:
        raise ImageError(f"holds numbers outside {bits} bits")
    grey = (values >> (bits - 8)).astype(np.uint8)
    if negative:  # 0 is white
        grey = 255 - grey
    if isinstance(key, int):
        grey[values == key] = 255
    return Image.fromarray(grey).convert("RGB")


def _on_background(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")
    rgba = image.convert("RGBA")
    flat = Image.new("RGB", image.size, BACKGROUND)
    flat.paste(rgba.convert("RGB"), mask=rgba.getchannel("A"))
    return flat


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001  (the image is whole, its EXIF is not: viewers show it as it is)
        return 1
