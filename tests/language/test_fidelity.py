"""Language identification on sentences written for it, and on real parallel prompts where they are at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from croco.errors import UserError
from croco.language import fidelity

SENTENCES = {
    "cy": "Mae'r tywydd yn braf heddiw ac rydym ni'n mynd am dro i lan y môr gyda'r plant.",
    "da": "Vejret er dejligt i dag, og vi går en tur ned til havet sammen med børnene.",
    "de": "Das Wetter ist heute schön, und wir gehen mit den Kindern ans Meer spazieren.",
    "en": "The weather is lovely today and we are going for a walk by the sea with the children.",
    "es": "Hoy hace buen tiempo y vamos a dar un paseo por la playa con los niños.",
    "fi": "Sää on tänään kaunis ja menemme lasten kanssa kävelylle meren rannalle.",
    "fr": "Il fait beau aujourd'hui et nous allons nous promener au bord de la mer avec les enfants.",
    "ga": "Tá an aimsir go hálainn inniu agus táimid ag dul ag siúl cois farraige leis na páistí.",
    "gl": "Hoxe vai bo tempo e imos dar un paseo pola praia cos nenos e coas nenas da escola.",
    "it": "Oggi il tempo è bello e andiamo a fare una passeggiata in riva al mare con i bambini.",
    "mt": "It-temp illum huwa sabiħ u sejrin nimxu ħdejn il-baħar mat-tfal kollha tal-iskola.",
    "nl": "Het weer is vandaag mooi en we gaan met de kinderen een wandeling langs de zee maken.",
    "no": "Været er fint i dag, og vi skal gå en tur ned til sjøen sammen med barna våre.",
    "pt": "Hoje o tempo está bom e vamos dar um passeio pela praia com as crianças.",
    "sv": "Vädret är vackert idag och vi ska ta en promenad vid havet tillsammans med barnen.",
}


@pytest.mark.parametrize("language", sorted(SENTENCES))
def test_every_language_of_the_configuration_is_told(language: str) -> None:
    assert fidelity.matches(language, SENTENCES[language]) is True
    others = [other for other in SENTENCES if fidelity.matches(other, SENTENCES[language])]
    assert set(others) <= {"da", "no"} if language in ("da", "no") else others == [language]


def test_the_sentences_cover_the_configuration() -> None:
    assert set(SENTENCES) == set(fidelity.known_languages())


def test_too_little_text_is_not_decided() -> None:
    assert (
        fidelity.identify(["", "42", "Oui, merci.", "```python\nfor word in sentence: print(word)\n```"]) == [None] * 4
    )
    assert fidelity.matches("fr", "Oui.") is None


def test_a_short_sentence_that_could_be_two_languages_is_not_decided() -> None:
    """The first is nl by 1.9 nats for py3langid, the second da by 29; a margin is between groups, so that da and no are one."""
    assert fidelity.matches("en", "The capital of Denmark is Copenhagen.") is None
    assert fidelity.matches("da", "Hvad hedder hovedstaden i Danmark?") is True


def test_code_and_links_are_not_looked_at() -> None:
    text = f"{SENTENCES['da']}\n```python\nfor line in the_file: print(line, 'and all of the words')\n```"
    assert fidelity.identify([text]) == ["da"]


def test_other_scripts_are_recognised() -> None:
    assert fidelity.identify(
        ["今天天气很好，我们带孩子们去海边散步。", "Сегодня хорошая погода, и мы идём гулять."]
    ) == ["zh", "ru"]
    assert fidelity.matches("en", "今天天气很好，我们带孩子们去海边散步。") is False


def test_the_choice_can_be_narrowed() -> None:
    assert fidelity.identify([SENTENCES["gl"]], among=["es", "pt", "en"])[0] in ("es", "pt")


def test_an_unknown_language_is_an_error() -> None:
    with pytest.raises(UserError, match=r"conf/language/xx\.yaml"):
        fidelity.matches("xx", "text")


@pytest.mark.parametrize("language", ["da", "de", "en", "es", "fr", "it", "nl", "pt"])
def test_real_prompts(language: str) -> None:
    """At most 1 in 100 wrong on translated instructions, given the folder of real inputs."""
    path = Path(os.environ.get("CROCO_REAL_INPUTS", "")) / "prompts" / "ifeval" / f"{language}.jsonl"
    if not path.is_file():
        pytest.skip("real inputs are not at hand (CROCO_REAL_INPUTS)")
    texts = [json.loads(line)["prompt"] for line in path.read_text(encoding="utf-8").splitlines()[:200]]
    told = [fidelity.matches(language, text) for text in texts]
    assert told.count(False) <= 2
    assert told.count(None) <= 2
