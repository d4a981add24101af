"""What becomes of every key of config.json and generation_config.json that changes logits or sampling.

*Honoured* is done as it is written. *Overruled* gives way to this run's configuration. *Refused* stops with one line where the
key is set. A key of a supported family that stands in no table here fails a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from croco.errors import UserError


class Key(NamedTuple):
    """A key of a configuration file."""

    treatment: str
    """`honoured`, `overruled` or `refused`."""
    how: str


def _names(text: str) -> list[str]:
    return text.split()


def _all(treatment: str, how: str, *names: str) -> dict[str, Key]:
    return dict.fromkeys(names, Key(treatment, how))


CONFIG = {
    **_all(
        "honoured",
        "by the model's class, in all engines and in packed rows",
        *_names(
            "attention_bias attention_multiplier embedding_multiplier residual_multiplier hidden_act hidden_activation head_dim "
            "layer_norm_eps rms_norm_eps layer_types max_window_layers sliding_window _sliding_window_pattern use_sliding_window "
            "mlp_bias no_rope_layers no_rope_layer_interval num_experts_per_tok num_local_experts query_pre_attn_scalar "
            "original_max_position_embeddings rope_parameters swiglu_alpha swiglu_limit use_qk_norm"
        ),
    ),
    **_all("honoured", "as the factor of the output layer, in packed rows too", "logit_scale", "logits_scaling"),
    **_all(
        "honoured",
        "attention is `eager` where `attention` says `sdpa`, which would drop it; training is padded",
        "attn_logit_softcapping",
    ),
    **_all("honoured", "by the model's class; training is padded", "final_logit_softcapping"),
    **_all(
        "honoured",
        "training an adapter on one of the two layers is right, and merging unties them where they differ",
        "tie_word_embeddings",
    ),
    **_all(
        "honoured",
        "a reward is read at the last token that is not this one, and at the last of all where it is null",
        "pad_token_id",
    ),
    **_all("honoured", "longer prompts are refused by name, answers end there", "max_position_embeddings"),
    **_all(
        "overruled",
        "0 in preference training, as the authors' trainer does; as written in supervised training",
        "attention_dropout",
        "embd_pdrop",
        "resid_pdrop",
        "router_jitter_noise",
    ),
    **_all("overruled", "by `model.dtype` and `reward.dtype`", "dtype"),
    **_all("overruled", "writing uses a cache, training none", "use_cache"),
    **_all("overruled", "routers get no loss of their own, adapters sit on other layers", "router_aux_loss_coef"),
    **_all("overruled", "the template's end of turn, and generation_config.json's `eos_token_id`", "eos_token_id"),
    **_all("overruled", "the template writes it", "bos_token_id"),
    **_all("overruled", "weights are whole", "pretraining_tp"),
    **_all("refused", "answers are written from left to right", "use_bidirectional_attention", "is_encoder_decoder"),
    **_all(
        "refused",
        "by the transformers engine and by training; give the checkpoint in whole numbers",
        "quantization_config",
    ),
    **_all("refused", "a reward model has one label", "num_labels"),
}
SIZES = frozenset(
    _names(
        "hidden_size intermediate_size num_attention_heads num_hidden_layers num_key_value_heads vocab_size text_config "
        "vision_config image_size num_channels patch_size mm_tokens_per_image boi_token_index eoi_token_index image_token_index "
        "model_type architectures"
    )
)
"""What the weights are, and pictures, which no prompt has."""
NOTHING = frozenset(
    _names(
        "_name_or_path chunk_size_feed_forward id2label label2id initializer_range output_attentions output_hidden_states "
        "output_router_logits problem_type return_dict transformers_version"
    )
)
"""Neither logits nor sampling: how weights were drawn, what is returned besides."""

OWN = "answers are drawn from the model's own distribution at `sampling.temperature` and `sampling.top_p`"
GENERATION = {
    **_all("honoured", "ends an answer, beside the template's own end of turn", "eos_token_id"),
    **_all(
        "overruled",
        "by `sampling.max_new_tokens`",
        "max_length",
        "max_new_tokens",
        "min_length",
        "min_new_tokens",
        "max_time",
    ),
    **_all(
        "overruled",
        OWN,
        *_names(
            "do_sample num_beams temperature top_k top_p min_p top_h typical_p epsilon_cutoff eta_cutoff repetition_penalty "
            "encoder_repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size penalty_alpha "
            "dola_layers diversity_penalty num_beam_groups early_stopping exponential_decay_length_penalty renormalize_logits "
            "guidance_scale token_healing"
        ),
    ),
    **_all("overruled", "by `sampling.samples`", "num_return_sequences"),
    **_all("overruled", "logits that are no numbers stop the run", "remove_invalid_values"),
    **_all("overruled", "the template writes it", "bos_token_id"),
    **_all("overruled", "rows are masked, whatever fills them", "pad_token_id"),
    **_all(
        "refused",
        "tokens that are forced or forbidden would be in what is written and not in what is trained on",
        *_names(
            "bad_words_ids forced_bos_token_id forced_eos_token_id suppress_tokens begin_suppress_tokens sequence_bias "
            "constraints force_words_ids watermarking_config"
        ),
    ),
    **_all("refused", "answers end at tokens; name the end in the chat template", "stop_strings"),
}
NO_SAMPLING = frozenset(
    _names(
        "use_mtp use_cache cache_implementation cache_config max_cache_len output_attentions output_hidden_states output_scores "
        "output_logits return_dict_in_generate decoder_start_token_id is_assistant num_assistant_tokens "
        "num_assistant_tokens_schedule assistant_confidence_threshold prompt_lookup_num_tokens max_matching_ngram_size "
        "assistant_early_exit assistant_lookbehind target_lookbehind assistant_ensemble_weight speculation_type compile_config "
        "disable_compile continuous_batching_config low_memory prefill_chunk_size _from_model_config transformers_version"
    )
)
"""How fast an answer is written, or what is told besides it."""


def check(path: str, config: Any) -> None:
    """Refuse what config.json asks for and is not done.

    Raises:
        UserError: names the key.
    """
    text = config.get_text_config()
    for name in ("quantization_config", "use_bidirectional_attention"):
        if getattr(config, name, None) or getattr(text, name, None):
            raise UserError(f"{path}: config.json: {name} is not supported: {CONFIG[name].how}")


def check_generation(path: str, settings: Any) -> None:
    """As `check`, of generation_config.json."""
    for name, key in GENERATION.items():
        if key.treatment == "refused" and getattr(settings, name, None):
            raise UserError(f"{path}: generation_config.json: {name} is not supported: {key.how}")


def overruled(settings: Any) -> dict[str, Any]:
    """What generation_config.json says about sampling and is not done, by key."""
    names = (name for name, key in GENERATION.items() if key.how == OWN)
    said = {name: getattr(settings, name, None) for name in names}
    return {name: value for name, value in said.items() if value is not None}


def table(keys: Mapping[str, Key]) -> str:
    """Markdown, one row for all keys of one treatment and reason."""
    rows: dict[Key, list[str]] = {}
    for name, key in keys.items():
        rows.setdefault(key, []).append(f"`{name}`")
    lines = ["| keys | | how |", "|---|---|---|"]
    return "\n".join(
        [*lines, *(f"| {', '.join(names)} | {key.treatment} | {key.how} |" for key, names in rows.items())]
    )
