"""The fourteen claims: complete, testable, and shown as they are kept."""

from __future__ import annotations

import dataclasses
import re

import pytest

from utils.claims import CLAIMS, GROUPS, VERDICTS, claims_of, claims_table, find_claim
from utils.widgets import keep_guess, load_predictions, predict_choice


def test_the_fourteen_claims_are_all_there_in_their_order():
    ids = [claim.id for claim in CLAIMS]
    assert ids == [*("K1", "K2", "K3"), *("T1", "T2", "T3"), *("C1", "C2", "C3")] + [
        f"N{number}" for number in range(1, 6)
    ]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_can_be_refuted_and_is_measured_where_its_group_is(claim):
    assert claim.text.endswith(".")
    assert claim.refuted_if.endswith(".")
    assert claim.refuted_if not in claim.text
    assert claim.published == "" or claim.published.endswith(".")
    assert claim.lesson == {"K": 9, "T": 10, "C": 11, "N": 12}[claim.group]


def test_figures_read_second_hand_are_marked():
    second_hand = {claim.id for claim in CLAIMS if "2nd" in claim.published}
    assert second_hand == {"K1", "K2", "K3"}
    with_figures = {claim.id for claim in CLAIMS if re.search(r"\d", claim.published)}
    assert with_figures == {"K1", "K2", "K3", "T2", "T3", "C2", "C3"}


def test_a_claim_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CLAIMS[0].text = "Anything."


def test_groups_part_the_claims():
    assert [claim for group in GROUPS for claim in claims_of(group)] == list(CLAIMS)
    with pytest.raises(KeyError, match="There are: K, T, C, N"):
        claims_of("X")


def test_a_claim_is_found_by_its_id():
    assert find_claim("T3").text.startswith("RAG's hallucinations")
    with pytest.raises(KeyError, match="no claim 'K4'.*K1, K2"):
        find_claim("K4")


def test_the_table_has_a_whole_row_for_every_claim():
    lines = claims_table().splitlines()
    assert len(lines) == len(CLAIMS) + 2
    assert {line.count("|") for line in lines} == {6}
    for claim, line in zip(CLAIMS, lines[2:], strict=True):
        assert f"**{claim.id}**" in line
        assert claim.text in line
        assert claim.refuted_if in line
        assert line.endswith(f"| {claim.lesson:02d} |")


def test_a_prediction_for_a_claim_is_kept_under_its_key(tmp_path, monkeypatch):
    monkeypatch.setenv("INSIDE_OUTSIDE_WORK", str(tmp_path))
    claim = find_claim("N4")
    predict_choice(claim.prediction_key, claim.text, VERDICTS)
    keep_guess("claim_N4", "depends")
    assert load_predictions()["claim_N4"]["guess"] == "depends"
    with pytest.raises(ValueError, match="none of the options"):
        keep_guess("claim_N4", "perhaps")
