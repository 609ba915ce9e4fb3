"""What an imported run shares with the run that it is compared with: its recipe."""

from collections.abc import Collection, Mapping

OF_ALL = {"alpha", "temperature", "feat_beta", "feat_norm"}
"""What the reference says of every run, and means something where its method declares it."""
DIGESTS = {"method_parameters", "teacher_weight_hash", "cell", "settings"}
OF_METHOD = {"teacher", "kd_type", "no_proj_clip", "clip_scope"} | DIGESTS | OF_ALL
"""What a method changes; the rest of a run's settings is the recipe it shares with its baseline."""


def recipe_of(
    settings: Mapping[str, object], further: Collection[str] = ()
) -> Mapping[str, object]:
    """Return the settings that a method's run shares with the run it is compared with.

    Args:
        settings: a run's.
        further: more hyper-parameters of the methods that the run is seen beside.
    """
    return {
        key: value for key, value in settings.items() if key not in OF_METHOD and key not in further
    }


def order_of(parameters: Mapping[str, object]) -> list[tuple[bool, float, str]]:
    """Return what configurations are put in order by: numbers by size, then words."""
    return [
        (False, value, "") if isinstance(value, int | float) else (True, 0.0, str(value))
        for value in parameters.values()
    ]
