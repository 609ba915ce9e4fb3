"""What weights from elsewhere were trained on: as the user says, or as the data is."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from kdgap.data import DATASETS, Request, load_dataset
from kdgap.errors import BadInputError
from kdgap.store.card import TrainedImages

_CLASSES = {
    "cifar10": (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ),
    "digits": tuple("0123456789"),
}  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """The fields of a card that say what a network takes and answers."""

    classes: tuple[str, ...]
    channels: int
    image_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class TrainedOn:
    """What weights were trained on; what is None is taken from the data itself.

    Attributes:
        data: name of the data set.
        data_root: folder that holds it.
        image_size: side of its images in pixels, for images that are resized.
        classes: class names in label order.
        mean, std: normalisation that the network was trained with, for pixels in [0, 1].
        images: `train+val` where no validation image was set apart.
    """

    data: str
    data_root: Path | None = None
    image_size: int | None = None
    classes: tuple[str, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    images: TrainedImages = "train"

    def facts(self) -> Facts:
        """Return what a card says of it; data is loaded only for what is not known otherwise.

        Raises:
            BadInputError: something is missing, or contradicts the data set.
        """
        entry, data = DATASETS[self.data], self.data
        self._check()
        mean, std = (entry.mean, entry.std) if self.mean is None else (self.mean, self.std)
        classes = self.classes or _CLASSES.get(data)
        if entry.shape is not None:
            channels, size = entry.shape.channels, entry.shape.image_size
        elif self.image_size is not None:
            channels, size = 3, (self.image_size, self.image_size)
        else:
            channels, size = 3, None
        if classes is None or mean is None or std is None or size is None:
            if self.data_root is None and data != "digits":
                side = "" if size else ", and --image-size, such as --image-size 64"
                raise BadInputError(
                    f"--data {data}: name the folder that holds it with --data-root, or give"
                    f" --classes, --mean and --std{side}"
                )
            loaded = load_dataset(data, Request(self.data_root or Path("data"), self.image_size))
            classes = classes or loaded.classes
            mean, std, size = (mean or loaded.mean), (std or loaded.std), size or loaded.image_size
        if not len(mean) == len(std) == channels:
            raise BadInputError(
                f"--mean and --std: {len(mean)} and {len(std)} numbers, but the images of {data}"
                f" have {channels} colour channels; give one number a channel"
            )
        if not all(0 <= number <= 1 for number in (*mean, *std)):
            raise BadInputError(
                "--mean and --std: are of pixels in [0, 1]; divide numbers of 0 to 255 by 255"
            )
        return Facts(classes, channels, size, mean, std)

    def _check(self) -> None:
        if self.image_size is not None:
            if not DATASETS[self.data].resized:
                raise BadInputError(
                    f"--image-size: the images of {self.data} are not resized; leave it out, or say"
                    " with --input-size to which side this network resizes them"
                )
            if not 1 <= self.image_size <= 16_384:
                raise BadInputError(f"--image-size {self.image_size}: a side has 1 to 16384 pixels")
        if self.classes is not None and not 2 <= len(set(self.classes)) == len(self.classes):
            raise BadInputError("--classes: give at least two names, each once")
        if (self.mean is None) != (self.std is None):
            raise BadInputError("--mean and --std go together; give both")
        for number in (*(self.mean or ()), *(self.std or ())):
            if not isfinite(number):
                raise BadInputError(f"--mean and --std: {number} is no number to normalise with")
        if min(self.std or (1.0,)) <= 0:
            raise BadInputError("--std: a deviation is above 0")
