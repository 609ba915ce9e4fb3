"""Any images in class folders: `train/CLASS/*` and `test/CLASS/*` (or `val/CLASS/*`)."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from kdgap.data.cache import content_key, decoded_once
from kdgap.data.dataset import Decoded, Images, Request, dataset, require_memory
from kdgap.errors import BadInputError, one_line


@dataset(
    "imagefolder",
    summary="your images in train/CLASS/ and test/CLASS/ (or val/), resized to image_size",
    citation="your own",
    val_size=500,
    augmentation="crop_flip",
    resized=True,
)
def imagefolder(request: Request) -> Decoded:
    """Load a folder of images: the shorter side is resized to `image_size`, the centre kept."""
    if request.image_size is None:
        raise BadInputError(
            "imagefolder: give image_size, the side in pixels to resize to, such as 64"
        )
    size, root = request.image_size, request.root
    test_name = "test" if (root / "test").is_dir() else "val"
    for part in ("train", test_name):
        if not (root / part).is_dir():
            raise BadInputError(
                f"imagefolder {root}: looked for train/CLASS/ and test/CLASS/ (or val/CLASS/),"
                f" but {part}/ is missing; name the folder that holds them with --data-root"
            )
    classes, train = _list(root / "train")
    test_classes, test = _list(root / test_name)
    if classes != test_classes:
        odd = min(set(classes) ^ set(test_classes))
        place = "train" if odd in classes else test_name
        raise BadInputError(f"imagefolder {root}: class {odd!r} is in {place}/ only")
    require_memory(f"imagefolder {root}", len(train) + len(test), 3 * size * size)
    files = [path for path, _ in (*train, *test)]

    def decode() -> Decoded:
        return Decoded(_decode(train, size), _decode(test, size), classes, "imagefolder")

    return decoded_once(content_key(root, files, "imagefolder", size), decode)


def _list(folder: Path) -> tuple[tuple[str, ...], list[tuple[Path, int]]]:
    from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

    try:
        classes, index = find_classes(str(folder))
        samples = make_dataset(str(folder), index, extensions=IMG_EXTENSIONS)
    except FileNotFoundError as error:
        raise BadInputError(f"{folder}: {one_line(error)}") from None
    return tuple(classes), [(Path(path), label) for path, label in samples]


def _decode(samples: list[tuple[Path, int]], size: int) -> Images:
    with ThreadPoolExecutor() as pool:
        rows = list(pool.map(lambda sample: _open(sample[0], size), samples))
    pixels = torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2).contiguous()
    return Images(pixels, torch.tensor([label for _, label in samples], dtype=torch.int64))


def _open(path: Path, size: int) -> np.ndarray:
    try:
        with Image.open(path) as image:
            fitted = ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.BILINEAR)
            return np.asarray(fitted)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInputError(
            f"{path}: cannot be read as an image ({one_line(error, 120)}); repair or remove it"
        ) from None
