"""kdgap: train teacher-student distillation studies, and say which claims survive."""

__version__ = "0.1.0"
