"""Paths as people write them: the home folder is meant by `~`, and what is no path is refused."""

import pwd
from pathlib import Path

import pytest

from kdgap import yamlio
from kdgap.errors import BadInputError
from kdgap.paths import cache_folder, user_path
from kdgap.spec.flat import read_flat
from kdgap.spec.study_file import read_study

STUDY = """\
name: tiny
data: {name: digits, root: ROOT}
models: {t: {name: resnet8}, s: {name: resnet8}}
teachers: {weights: {t: WEIGHTS}}
pairs: [{teacher: t, student: s}]
methods: {logit: {alpha: 0.5, temperature: 4}}
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("runs/x", "runs/x"),
        (".", "."),
        ("../data", "../data"),
        ("/data/my images", "/data/my images"),
        ("~", "{home}"),
        ("~/runs/x", "{home}/runs/x"),
        ("~//x/../y", "{home}/x/../y"),
        ("~root/x", f"{Path(pwd.getpwnam('root').pw_dir)}/x"),  # another folder on macOS
        ("runs/backup~", "runs/backup~"),
        ("runs/~tmp", "runs/~tmp"),
        ("cost-100%", "cost-100%"),
        ("a$", "a$"),
        ("fünf/数据", "fünf/数据"),
        ("C:", "C:"),
        ("host:data", "host:data"),
        ("it's", "it's"),
    ],
)
def test_a_path_is_what_was_written_with_the_home_folder_for_a_tilde(
    home: Path, written: str, meant: str
) -> None:
    expected = Path(meant.format(home=home))
    if written.startswith("~root"):
        expected = Path(written).expanduser()
    assert user_path(written) == expected


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("", "is empty"),
        ("   ", "space"),
        ("data ", "space"),
        (" data", "space"),
        ("data\n", "control"),
        ("a\x00b", "control"),
        ("\x1b[2Jx", "control"),
        ("'~/data'", "quotes"),
        ('"data"', "quotes"),
        ("file:///data", "without file://"),
        ("file:/data", "without file://"),
        ("FILE:/data", "without file://"),
        ("https://example.org/cifar.zip", "URL"),
        ("s3://bucket/data", "URL"),
        ("ftp://bucket/data", "URL"),
        ("C:\\data", "Windows"),
        ("c:/data", "Windows"),
        ("\\\\wsl$\\Ubuntu\\data", "Windows"),
        ("runs\\x", "Windows"),
        ("$HOME/data", "variable"),
        ("${HOME}/data", "variable"),
        ("/scratch/$USER", "variable"),
        ("runs/$(date +%F)", "variable"),
        ("~nobody-of-this-name/x", "home folder"),
        ("~~/x", "home folder"),
        ("~+/x", "home folder"),
        ("./~/x", "folder called ~"),
        ("~/~", "folder called ~"),
        ("/data/~/x", "folder called ~"),
    ],
)
def test_what_is_no_path_is_refused_with_the_reason(written: str, why: str) -> None:
    with pytest.raises(BadInputError, match=why) as refused:
        user_path(written)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("value", ["", "relative/home"])
def test_a_home_folder_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HOME", value)
    with pytest.raises(BadInputError, match="home folder of ~ is not known"):
        user_path("~/data")


@pytest.mark.parametrize("key", ["teacher_weights", "data_root", "output_dir"])
@pytest.mark.parametrize("overridden", [False, True])
def test_paths_of_a_flat_file_and_of_set_are_read_so(
    home: Path, key: str, overridden: bool
) -> None:
    def read(value: str) -> object:
        text = "model: resnet8\n" + ("" if overridden else f"{key}: {value!r}\n")
        given = {key: value} if overridden else {}
        config, _ = read_flat(yamlio.parse(text, "run.yaml"), given, ())
        return getattr(config, key)

    assert read("~/x") == str(home / "x")
    place = "command line" if overridden else "run.yaml:2"
    with pytest.raises(BadInputError, match=f"^{place}: {key}: '.SCRATCH/x' names a variable"):
        read("$SCRATCH/x")


def test_paths_of_a_study_are_read_so(home: Path) -> None:
    def read(root: str, weights: str, **given: object) -> object:
        text = STUDY.replace("ROOT", repr(root)).replace("WEIGHTS", repr(weights))
        study, _ = read_study(yamlio.parse(text, "study.yaml"), given)
        return study.data.root, study.teachers.weights["t"]

    assert read("~/data", "~/t.safetensors") == (str(home / "data"), str(home / "t.safetensors"))
    assert read("data", "t", **{"data.root": "~"}) == (str(home), "t")
    with pytest.raises(BadInputError, match=r"^study.yaml:2: data.root: '.X' names"):
        read("$X", "t")
    with pytest.raises(BadInputError, match=r"^study.yaml:4: teachers.weights.t: 'C:"):
        read("data", "C:\\t")
    with pytest.raises(BadInputError, match=r"^command line: teachers.weights.t: 's3:"):
        read("data", "t", **{"teachers.weights.t": "s3://t"})


def test_the_cache_folder_is_read_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDGAP_CACHE", "~/cache")
    assert cache_folder() == home / "cache"
    monkeypatch.setenv("KDGAP_CACHE", "/$SCRATCH/cache")
    with pytest.raises(BadInputError, match=r"^KDGAP_CACHE: .*names a variable"):
        cache_folder()
