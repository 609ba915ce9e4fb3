from kdgap.library import analyse as analyse
from kdgap.library import fidelity_frame as fidelity_frame
from kdgap.library import figure_bytes as figure_bytes
from kdgap.library import figures as figures
from kdgap.library import gains_frame as gains_frame
from kdgap.library import import_results as import_results
from kdgap.library import list_datasets as list_datasets
from kdgap.library import list_methods as list_methods
from kdgap.library import list_models as list_models
from kdgap.library import load as load
from kdgap.library import runs_frame as runs_frame
from kdgap.library import spread as spread
from kdgap.library import train as train

__version__: str
