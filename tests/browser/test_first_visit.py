"""Somebody who was never here asks whether a claim is true, and why not: three clicks, no guide."""

import re

import pytest

from tests.browser.pages import Shown, Visitor, drawn, expect

pytestmark = pytest.mark.browser


@pytest.mark.shared_data
def test_is_the_moderation_claim_true_and_why_not(visitor: Visitor, published: Shown) -> None:
    page = visitor.open(published)
    main = page.get_by_role("main")
    first = main.locator(".headline")
    expect(first).to_contain_text("Not shown: Student capacity moderates Feature-KD")
    expect(first).to_contain_text(re.compile(r"\+0\.10.pp, somewhere between −0\.19 and \+0\.38"))
    expect(first).to_be_in_viewport()
    expect(main.get_by_role("img", name=re.compile("^Every gain"))).to_be_in_viewport()
    first.get_by_role("link").click()  # 1
    drawn(page, "claim")
    why = main.locator("section").filter(has=page.get_by_role("heading", name="Why", exact=True))
    expect(why).to_contain_text("there may be no difference at all")
    expect(why).to_contain_text("Nor is it shown that there is none")
    expect(why).to_contain_text("with 33 seeds a side in 80")
    expect(main.get_by_role("img", name=re.compile("every seed"))).to_be_visible()
    main.get_by_role("link", name="resnet50 → resnet34 feature, seed 0").click()  # 2
    drawn(page, "run")
    expect(main).to_contain_text("the digest of what its file says")
    expect(main).to_contain_text("runs/final/resnet50_to_resnet34_feature/seed0/results.json")
    expect(main.get_by_role("img", name=re.compile("Accuracy"))).to_be_visible()
    page.go_back()
    drawn(page, "claim")
    main.get_by_role("link", name="see its power").click()
    drawn(page, "power")
    expect(main).to_contain_text("80 of 100 need 33 seeds a side")


def test_from_a_headline_to_seed_curve_command_and_hash(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits)
    main = page.get_by_role("main")
    main.get_by_role("link", name=re.compile("Larger students gain more")).click()  # 1
    drawn(page, "claim")
    main.get_by_role("link", name="teacher → 4ch logit, seed 1").click()  # 2
    drawn(page, "run")
    expect(main.get_by_role("img", name=re.compile("Accuracy"))).to_be_visible()
    expect(main).to_contain_text(re.compile(r"kdgap verify \S+ --run [0-9a-f]{10}"))
    expect(main).to_contain_text("kdgap train run.yaml")
    hashes = main.get_by_role("table", name=re.compile("^Files in")).locator("code")
    assert all(re.fullmatch("[0-9a-f]{64}", text) for text in hashes.all_inner_texts())
    main.get_by_role("button", name="Copy the file").click()  # 3
    page.wait_for_function(
        "navigator.clipboard.readText().then((text) => text.includes('kd_type'))"
    )
    copied = page.evaluate("navigator.clipboard.readText()")
    assert re.search(r"^kd_type: \"logit\"$", copied, re.MULTILINE)
    assert re.search(r"^seed: 1$", copied, re.MULTILINE)
