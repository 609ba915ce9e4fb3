"""Curves as a reader wants to look at them: what was chosen is drawn, said and in the address."""

import csv
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.pages import Shown, Visitor, drawn, expect, redrawn, unfold

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
PLACE = "configuration?method=logit&role=final"


def rows(page: "Page", key: str) -> list[dict[str, str]]:
    """The CSV of a curve."""
    with page.expect_download() as waiting:
        page.locator(f"figure[data-key='{key}'] button[data-key='csv']").click()
    page.wait_for_timeout(120)  # Chromium drops whatever is more than ten downloads a second
    return list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text("utf-8"))))


def document(page: "Page") -> dict[str, Any]:
    """The arm that is shown."""
    arm: dict[str, Any] = page.evaluate(
        "(async () => kdgap.get(`arm/${findArm(kdgap.study, kdgap.place().state).number}`))()"
    )
    return arm


def test_the_last_third_is_seen_and_stays_in_the_address(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, PLACE)
    whole = {float(row["epoch"]) for row in rows(page, "curve-val_acc")}
    with redrawn(page, "configuration"):
        page.locator("select[data-key=curves-part]").select_option("the last third")
    last = {float(row["epoch"]) for row in rows(page, "curve-val_acc")}
    assert last
    assert last == {epoch for epoch in whole if epoch > 2 * max(whole) / 3}
    assert "part=last" in page.url
    again = visitor.open(digits, page.url.split("#")[1])
    assert {float(row["epoch"]) for row in rows(again, "curve-val_acc")} == last
    with redrawn(again, "configuration"):
        again.locator("select[data-key=curves-part]").select_option("all of it")
    assert "part=" not in again.url


def test_minus_plain_training_is_what_python_computed(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, f"{PLACE}&minus=plain")
    own = document(page)["over_plain"]["val_acc"]
    shown = rows(page, "curve-val_acc")
    assert [float(row["epoch"]) for row in shown] == own["epoch"]
    for name in ("mean", "low", "high"):
        assert [float(row[f"{name}_pp"]) for row in shown] == pytest.approx(
            [100 * value for value in own[name]]
        )
    figure = page.locator("figure[data-key='curve-val_acc']")
    expect(figure).to_contain_text("Each seed minus plain training of the same seed")
    assert page.locator("figure[data-key='curve-loss_total']").count() == 0


def test_smoothing_is_off_until_it_is_chosen_and_said(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, PLACE)
    figure = page.locator("figure[data-key='curve-val_acc']")
    expect(figure).not_to_contain_text("Smoothed")
    rough = [100 * value for value in document(page)["curves"]["val_acc"]["mean"]]
    name = rows(page, "curve-val_acc")[0]["series"]
    with redrawn(page, "configuration"):
        page.locator("select[data-key=curves-smooth]").select_option("over 5 epochs")
    expect(figure).to_contain_text("Smoothed: each value is the mean of 5 epochs around it")
    smooth = [
        float(row["mean_percent"]) for row in rows(page, "curve-val_acc") if row["series"] == name
    ]
    expected = [
        math.fsum(part) / len(part)
        for place in range(len(rough))
        for part in [rough[max(0, place - 2) : place + 3]]
    ]
    assert smooth == pytest.approx(expected)
    assert smooth != pytest.approx(rough)


def test_total_losses_of_unlike_students_say_so(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, PLACE)
    unfold(page)
    total = page.locator("figure[data-key='curve-loss_total']")
    assert total.locator(".legend li").count() > 1
    expect(total).to_contain_text("Not one quantity")
    expect(page.locator("figure[data-key='curve-loss_ce']")).not_to_contain_text("Not one quantity")
    page = visitor.open(digits, "configuration?role=baseline")
    unfold(page)
    expect(page.locator("figure[data-key='curve-loss_total']")).not_to_contain_text(
        "Not one quantity"
    )


def test_norms_are_on_a_log_scale_or_not(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, PLACE)
    unfold(page)
    norms = page.locator("figure[data-key='curve-grad_norm_max'] svg.plot")
    expect(norms).to_contain_text("log scale")
    with redrawn(page, "configuration"):
        page.locator("select[data-key=curves-norms]").select_option("linear scale")
    expect(norms).not_to_contain_text("log scale")
    assert "norms=linear" in page.url


def test_choices_stay_on_the_way_to_another_configuration(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, f"{PLACE}&part=last&smooth=15")
    with redrawn(page, "configuration"):
        page.locator("select[data-key=method]").select_option("feature")
    assert "part=last" in page.url
    assert "smooth=15" in page.url
    page.go_back()
    drawn(page, "configuration")
    expect(page.locator("select[data-key=curves-smooth]")).to_have_value("15")


def test_curves_of_unlike_length_can_be_laid_over_one_another(
    visitor: Visitor, digits: Shown
) -> None:
    page = visitor.open(digits)
    points = page.evaluate(
        """() => {
          const curve = (n) => {
            const epoch = d3.range(1, n + 1);
            return { epoch, mean: epoch, low: epoch, high: epoch };
          };
          const places = (n, look) => looked(curve(n), look).map((point) => point.x);
          const ends = (look) => [10, 40].map((n) => places(n, look));
          return { own: ends({}), share: ends({ share: true, part: "last" }) };
        }"""
    )
    assert [line[-1] for line in points["own"]] == [10, 40]  # each on its own epochs
    assert [line[-1] for line in points["share"]] == [100, 100]
    assert all(66 < line[0] < 75 for line in points["share"])
