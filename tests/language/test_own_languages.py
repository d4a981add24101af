"""Languages of one's own: one file each, in the working folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from croco.config import CONF, languages, strict
from croco.errors import UserError
from croco.jobs import lacking
from croco.language import fidelity

FILE = """\
iso: {iso}
own_name: {name}
english_name: {name}
euroeval: {euroeval}
m_arenahard: null
m_rewardbench: null
translategemma: {iso}
identified_as: [{codes}]
also_called: [{also}]
"""
ICELANDIC = "Hundurinn hljóp yfir götuna og kötturinn svaf á stólnum við gluggann allan daginn."
BASQUE = "Gaur goizean mendira joan gara lagunekin eta arratsaldean etxera itzuli gara oso nekatuta."
SERBIAN = (
    "Данас је лепо време и деца се играју у парку поред реке.",
    "Danas je lepo vreme i deca se igraju u parku pored reke.",
)
CACHED = (
    languages.settings,
    languages._words,
    languages.english_names,
    fidelity.known_languages,
    fidelity._identifier,
    fidelity._one_group,
    fidelity.is_known,
)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "conf" / "language"
    folder.mkdir(parents=True)
    for code, iso, name, codes, also, more in (
        ("is", "is", "Icelandic", "is", "isl", ""),
        ("eu", "eu", "Basque", "eu", "eus, baq", ""),
        ("kl", "kl", "Greenlandic", "kl", "kal", ""),
        ("sr-cyrl", "sr", "Serbian (Cyrillic)", "sr", "srp", "script: Cyrl\n"),
        ("sr-latn", "sr", "Serbian (Latin)", "sr, hr, bs", "srp", "script: Latn\n"),
    ):
        text = FILE.format(iso=iso, name=name, codes=codes, also=also, euroeval="is" if code == "is" else "null") + more
        (folder / f"{code}.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for cached in CACHED:
        cached.cache_clear()
    yield
    for cached in CACHED:
        cached.cache_clear()


@pytest.mark.usefixtures("own")
def test_identified_written_and_called() -> None:
    """Greenlandic is not among what identification knows: never wrong, but for another script."""
    assert fidelity.matches("is", ICELANDIC) is True
    assert fidelity.matches("is", BASQUE) is False
    assert fidelity.matches("eu", BASQUE) is True
    cyrillic, latin = SERBIAN
    assert (fidelity.matches("sr-cyrl", cyrillic), fidelity.matches("sr-cyrl", latin)) == (True, False)
    assert (fidelity.matches("sr-latn", latin), fidelity.matches("sr-latn", cyrillic)) == (True, False)
    assert fidelity.matches("kl", ICELANDIC) is None
    for word, code in {"isl_Latn": "is", "baq": "eu", "srp_Cyrl": "sr-cyrl", "sr-Latn-RS": "sr-latn"}.items():
        assert languages.of_word(word) == code
    assert languages.of_word("sr") is None
    assert [languages.of_word("sr", text) for text in SERBIAN] == ["sr-cyrl", "sr-latn"]


@pytest.mark.usefixtures("own")
def test_what_has_no_data_is_said_at_the_start() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = strict(compose("config", overrides=["lang.languages=[is,kl]"]))
    (line,) = lacking.notes(config)
    assert line.startswith("kl (Greenlandic): identification knows none of kl")


@pytest.mark.usefixtures("own")
def test_an_evaluation_that_lacks_a_language_says_so_and_one_that_could_have_it_asks() -> None:
    """Of Greenlandic EuroEval has nothing by its YAML; of Icelandic it may, and a list is asked for with what to type."""
    words = ["model=custom", "model.path=org/policy", "prompts=jsonl", "prompts.path=org", "lang.languages=[da,kl]"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = strict(compose("config", overrides=[*words, "evals=[euroeval,checks]"]))
        (line,) = lacking.notes(config)
        assert "no prompts with rules of our own (evals.checks.path" in line
        assert line.endswith("EuroEval has no data set")
        with pytest.raises(UserError, match=r"'\+evals\.euroeval\.datasets\.is=\[NAME,\.\.\.\]'"):
            strict(compose("config", overrides=[*words, "evals=euroeval", "lang.languages=[da,is]"]))
