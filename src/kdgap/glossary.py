"""The words of kdgap, each with one meaning; `docs/glossary.md` is made of them.

Report and explorer explain a word where it is first met on a page.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from html import escape

TERMS = {
    "ablation": "an arm of runs with one declared change, against the same arm without it",
    "agreement": "the share of test images on which student and teacher give the same answer",
    "arm": "the runs of one configuration in one role: what a mean is taken over",
    "baseline": "the student trained without a teacher, on the same data and recipe",
    "calibration error": "how far confidence and accuracy are apart, by bins of confidence (ECE)",
    "candidate": "a configuration that selection tried",
    "checkpoint": "the weights of one epoch: of the best on validation images, or of the last",
    "claim": "a weighted sum of gains or accuracies, and what was said of it beforehand",
    "cohort": "runs that are trained side by side and share each pass of their teacher",
    "configuration": "everything that is set for a run but its seed and its teacher's seed",
    "equivalent": "any effect is shown to be smaller than the smallest effect of interest (TOST)",
    "family": "the comparisons that are corrected together, so that chance finds none too easily",
    "fidelity": "how closely a student follows its teacher, which is no accuracy",
    "final": "a run whose test accuracy counts, with the configuration that selection chose",
    "gain": "a method's mean test accuracy minus the baseline's, in percentage points",
    "Holm p": "a p-value corrected for all comparisons of its family (Holm 1979)",
    "KL": "divergence of the student's class probabilities from the teacher's, in nats",
    "notice": "something to know before believing a number; it has a code and a sentence",
    "outcome": "what became of a claim: established, contradicted, or not established",
    "pair": "a teacher and the student that it teaches",
    "permutation p": "how often exchanged labels give a difference as large; no model is assumed",
    "post hoc": "decided after the first test accuracy was seen",
    "power": "how often so many seeds would find a true effect of the stated size",
    "pre-registration": "claims and protocol as they were locked before the first final was tested",
    "rank": "one of the processes that share every batch of a run, each on a device of its own",
    "recipe": "how a network is trained: epochs, batch size, optimiser, schedule, augmentation",
    "record": "the files of a finished run, with checksums",
    "run": "one configuration trained with one seed; its id is a digest of both",
    "seed": "what fixes the random choices of a run: first weights, order of images, augmentation",
    "seeds needed": "seeds an arm that would settle a comparison with the power that is asked for",
    "selection": "the choice of hyper-parameters, on validation images",
    "simultaneous interval": "so wide that all intervals of its family hold at once (Bonferroni)",
    "smallest effect of interest": "the difference below which, as declared, nobody would care",
    "smoke run": "a run on a few images, to see that it works: its numbers are no result",
    "student": "the network that a method trains",
    "teacher": "the trained network that a student learns from",
    "test door": "the one place that reads test images for a record, once a run, after selection",
    "TOST": "two one-sided tests: is the difference above −m and below +m?",
    "verdict": "what a gain's numbers show: gain, harm, equivalent, or inconclusive",
    "Welch": "a comparison of two means that does not assume equal spread (Welch 1947)",
}
"""Term → what it means, in one line."""
LIST = "<!-- words of this page -->"
_TAG = re.compile(r"(<[^>]+>)")
_SILENT = ("svg", "style", "code", "a", "dfn", "title", "h1", "h2", "h3", "nav", "header")
_NAMES = sorted(TERMS, key=len, reverse=True)


def as_markdown() -> str:
    """Return `docs/glossary.md`."""
    lines = "\n".join(f"| {term} | {meaning} |" for term, meaning in TERMS.items())
    return (
        "# Glossary\n\nOne word, one meaning, in report, explorer, command line and code. Made\n"
        f"from `kdgap/glossary.py` by `make docs`.\n\n| word | meaning |\n|---|---|\n{lines}\n"
    )


def explained(page: str) -> str:
    """Return an HTML page with each term explained where it is first met in its text.

    Headings, links, code and figures are left alone. `LIST` on the page becomes the list of those
    that were met before it, for paper and for screens without a pointer.
    """
    met: dict[str, None] = {}
    whole = "".join(_explained(page, met))
    words = "".join(f"<dt>{escape(name)}</dt><dd>{escape(TERMS[name])}.</dd>\n" for name in met)
    return whole.replace(LIST, words, 1)


def _explained(page: str, met: dict[str, None]) -> Iterator[str]:
    silent, body = list[str](), False
    for part in _TAG.split(page):
        if part.startswith("<"):
            name = re.split(r"[\s/>]", part.lstrip("</"), maxsplit=1)[0].lower()
            body = body or name == "body"
            if name in _SILENT and not part.endswith("/>"):
                if not part.startswith("</"):
                    silent.append(name)
                elif silent and name in silent:
                    silent.pop()
            yield part
        elif silent or not body or len(met) == len(TERMS) or not part.strip():
            yield part
        else:
            yield from _marked(part, met)


def _marked(text: str, met: dict[str, None]) -> Iterator[str]:
    """Yield a text with the terms in it explained that were not met before."""
    at = 0
    while term := _pattern(tuple(met)).search(text, at):
        name = next((key for key in TERMS if key.lower() == term[1].lower()), None)
        yield text[at : term.start()]
        at = term.end()
        if name is None or name in met:  # None: Python takes a letter for another, as a long s
            yield term[0]
            continue
        met[name] = None
        yield f'<dfn title="{escape(TERMS[name])}">{term[0]}</dfn>'
        if len(met) == len(TERMS):
            break
    yield text[at:]


@lru_cache(maxsize=256)
def _pattern(met: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds the terms that were not met yet, longer ones first.

    A term that was met is found still where another is a part of it: no "run" in a "smoke run".
    """
    unmet = [name.lower() for name in TERMS if name not in met]
    left = [name for name in _NAMES if any(other in name.lower() for other in unmet)]
    words = "|".join(map(re.escape, left))
    return re.compile(rf"(?<![\w/.-])({words})s?(?![\w/-]|\.\w)", re.IGNORECASE)
