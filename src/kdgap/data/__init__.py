"""Data sets as resident uint8 tensors, their split, and the stream of augmented batches."""

from kdgap.data import cifar, digits, folder  # noqa: F401  (registers the data sets)
from kdgap.data.dataset import DATASETS, Dataset, Images, Request, Shape, load_dataset
from kdgap.data.stream import BatchStream, normalise
from kdgap.data.subset import Parts, split_dataset

__all__ = [
    "DATASETS",
    "BatchStream",
    "Dataset",
    "Images",
    "Parts",
    "Request",
    "Shape",
    "load_dataset",
    "normalise",
    "split_dataset",
]
