"""Data sets as resident uint8 tensors, their split, and the stream of augmented batches."""

from kdgap.data import sets  # noqa: F401  (registers the data sets)
from kdgap.data.dataset import (
    DATASETS,
    Dataset,
    DatasetEntry,
    Images,
    Request,
    Shape,
    check_request,
    load_dataset,
)
from kdgap.data.preprocessing import Preprocessing, normalise
from kdgap.data.stream import BatchStream
from kdgap.data.subset import Parts, needed_val_size, smaller_val_size, split_dataset

__all__ = [
    "DATASETS",
    "BatchStream",
    "Dataset",
    "DatasetEntry",
    "Images",
    "Parts",
    "Preprocessing",
    "Request",
    "Shape",
    "check_request",
    "load_dataset",
    "needed_val_size",
    "normalise",
    "smaller_val_size",
    "split_dataset",
]
