"""Images that cannot be used, named together: whoever repairs them wants to know of all."""

from collections.abc import Sequence

MOST_NAMED = 10


def unusable(problems: Sequence[tuple[str, str]], what: str, way: str) -> str:
    """Return one line that names the first images by what is wrong with them, and counts the rest.

    Args:
        problems: name and problem of each image, in the order in which they are named.
        what: what they are, such as `images`.
        way: what to do with them, such as `remove`.
    """
    if len(problems) == 1:
        return f"{': '.join(problems[0])}; {way} it"
    by_problem: dict[str, list[str]] = {}
    for name, problem in problems[:MOST_NAMED]:
        by_problem.setdefault(problem, []).append(name)
    parts = [f"{', '.join(names)}: {problem}" for problem, names in by_problem.items()]
    if len(problems) > MOST_NAMED:
        parts.append(f"and {len(problems) - MOST_NAMED:,} more")
    return f"{len(problems):,} {what} cannot be used: {'; '.join(parts)}; {way} them"
