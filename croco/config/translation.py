"""The `translation` group: who translates a set's prompts, and how it is asked."""

from __future__ import annotations

import re
from dataclasses import dataclass

from croco.config.languages import spoken_of
from croco.config.targets import one_of, require

FORMATS = ("text", "structured")
PLACES = ("source", "target", "source_code", "target_code", "text")
PLACE = re.compile(r"\{(\w*)\}")


@dataclass
class TranslationConfig:
    """What makes the prompts of the set's other languages; decoding is greedy."""

    model: str | None
    """A local checkpoint folder or a hub id of a language model; null: each language has prompts of its own in the source."""
    revision: str | None
    dtype: str
    """float32 or bfloat16."""
    chat_template: str | None
    """A Jinja file for a checkpoint without a chat template; null uses its own."""
    trust_remote_code: bool
    format: str
    """`text` (the user's turn is `template`, filled in) or `structured` (TranslateGemma's own: text and language codes as the
    one part of the user's turn, from which its chat template writes the instruction)."""
    template: str | None
    """With {text}, and the languages as {source} and {target} (English names) or {source_code} and {target_code}."""
    source: str
    """The language that is translated, from `prompts`; the others of the set are not looked for there."""
    references: bool | None
    """Translate the data set's own answers too; null: where something reads them (croco/config/references.py)."""
    max_input_tokens: int
    """Longest text with its instruction, in the translator's tokens; prompts with a longer one are dropped, and counted."""
    max_new_tokens: int
    """Longest translation in tokens; what is cut off there is dropped, and counted."""
    check_language: bool
    """Drop, and count, what is identified as another language than it was translated into; what is too short to tell stays."""

    @property
    def needs_codes(self) -> bool:
        """Whether languages go by TranslateGemma's codes rather than by their names."""
        return self.format == "structured" or "_code}" in str(self.template)

    def targets(self, languages: list[str]) -> list[str]:
        """The languages of a set that are translated into, in the set's order."""
        return [] if self.model is None else [language for language in languages if language != self.source]


def check_translation(
    translation: TranslationConfig, languages: list[str], known: list[str], trains_on_references: bool
) -> None:
    """Checks of one group; raises UserError with the key to change."""
    if translation.model is None:
        return
    one_of("translation.format", translation.format, FORMATS)
    one_of("translation.dtype", translation.dtype, ("float32", "bfloat16"))
    one_of("translation.source", translation.source, tuple(known))
    require(translation.max_input_tokens >= 1, "translation.max_input_tokens: must be at least 1")
    require(translation.max_new_tokens >= 1, "translation.max_new_tokens: must be at least 1")
    if translation.format == "text":
        _check_template(translation.template)
    targets = translation.targets(languages)
    for language in [translation.source, *targets] if translation.needs_codes else []:
        require(
            spoken_of(language).translategemma is not None,
            f"lang.languages: '{language}' has no code of TranslateGemma's; give one in conf/language/{language}.yaml, or "
            "choose translation=plain, which names languages in English",
        )
    require(
        translation.references is not False or not targets or not trains_on_references,
        "translation.references: training on the data set's own answers needs them translated; set it to true, or null",
    )


def _check_template(template: str | None) -> None:
    places = PLACE.findall(str(template))
    unknown = sorted(set(places) - set(PLACES))
    there = ", ".join(f"{{{place}}}" for place in PLACES)
    require(not unknown, f"translation.template: it has {', '.join(unknown)} in braces; there is {there}")
    require("text" in places, "translation.template: must contain {text}")
    require(
        "target" in places or "target_code" in places, "translation.template: must contain {target} or {target_code}"
    )
