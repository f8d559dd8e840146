"""Keys of config.json that change nothing in what a loaded model computes, or change nothing at certain values.

The tests hold this against the reference library: with every ignored key changed, its models give the same numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Unread:
    """What a family's reader need not read."""

    ignored: frozenset[str] = frozenset()
    """Keys that never change a number."""
    neutral: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Keys that change nothing at these values."""

    def also(self, ignored: str = "", **neutral: Any) -> "Unread":
        """These and more: ignored keys with blanks between them, and neutral keys, each with its one value."""
        more = {key: (value,) for key, value in neutral.items()}
        return Unread(ignored=self.ignored.union(ignored.split()), neutral={**self.neutral, **more})


_HEADS = """
    classifier_activation classifier_bias classifier_dropout classifier_dropout_prob classifier_pooling end_n_top
    qa_dropout sbert_ce_default_activation_function sentence_transformers seq_classif_dropout start_n_top
    summary_activation summary_first_dropout summary_last_dropout summary_proj_to_labels summary_type
    summary_use_proj
"""
HEADS = frozenset(_HEADS.split())
"""Keys that matter to heads for classes and answers only: to be ignored where no such head is built."""

_NOTES = """
    _commit_hash _name_or_path _num_labels architectures dtype finetuning_task id2label label2id model_type
    name_or_path num_labels problem_type task_specific_params tokenizer_class torch_dtype transformers.js_config
    transformers_version
"""
_HOW_IT_RUNS = """
    _attn_implementation _attn_implementation_autoset _attn_implementation_internal _experts_implementation
    _experts_implementation_internal _output_attentions attn_implementation chunk_size_feed_forward
    experts_implementation gradient_checkpointing output_attentions output_hidden_states output_past return_dict
    torchscript use_bfloat16 use_cache use_return_dict
"""
_INITIAL = "initializer_cutoff_factor initializer_factor initializer_range"
_TOKENS = "bos_token_id cls_token_id decoder_start_token_id eos_token_id mask_token_id prefix sep_token_id unk_token_id"
# Defaults of generation, which transformers moves from here to generation_config.json.
_GENERATION = """
    bad_words_ids begin_suppress_tokens diversity_penalty do_sample early_stopping encoder_no_repeat_ngram_size
    encoder_repetition_penalty epsilon_cutoff eta_cutoff exponential_decay_length_penalty forced_bos_token_id
    forced_eos_token_id length_penalty max_length max_new_tokens min_length no_repeat_ngram_size num_beam_groups
    num_beams num_return_sequences output_scores remove_invalid_values repetition_penalty return_dict_in_generate
    suppress_tokens temperature top_k top_p typical_p assistant_confidence_threshold assistant_lookbehind
    num_assistant_tokens num_assistant_tokens_schedule target_lookbehind
"""

ANY = Unread(
    ignored=frozenset(" ".join((_NOTES, _HOW_IT_RUNS, _INITIAL, _TOKENS, _GENERATION)).split()),
    neutral={
        "add_cross_attention": (False,),
        "cross_attention_hidden_size": (None,),
        "is_decoder": (False,),
        "is_encoder_decoder": (False,),
        "per_layer_config": (None, {}),
        "position_embedding_type": ("absolute",),
        "pruned_heads": ({}, None),
        "quantization_config": (None,),
        "tie_encoder_decoder": (False,),
        "tie_last_hidden_states": (None, True),
        "tie_word_embeddings": (True,),
    },
)
"""What any family may leave unread."""

_PAD = ANY.also("pad_token_id")  # not in RoBERTa, whose positions are counted from it
_BERT = _PAD.also(
    # Of the TensorFlow code of BERT for Chinese and many languages; no PyTorch code has ever read them.
    """directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head
    pooler_type"""
)

UNREAD: Mapping[str, Unread] = {
    "bert": _BERT,
    "roberta": ANY,
    "xlm-roberta": ANY,
    "albert": _PAD.also(
        inner_group_num=1, net_structure_type=0, gap_size=0, num_memory_blocks=0, down_scale_factor=1, layers_to_keep=[]
    ),
    "electra": _PAD,
    # A table of sines is stored with the weights, so that it is read and not made.
    "distilbert": _PAD.also("sinusoidal_pos_embds tie_weights_"),
    # Without memory from an earlier call, its length is of no account.
    "xlnet": _PAD.also(
        "max_position_embeddings mem_len reuse_len use_mems_eval use_mems_train",
        attn_type="bi",
        bi_data=False,
        clamp_len=-1,
        same_length=False,
        untie_r=True,
    ),
    "t5": Unread(
        ignored=_PAD.ignored | {"n_positions"},
        neutral={key: value for key, value in ANY.neutral.items() if not key.startswith(("is_encoder", "tie_word"))},
    ),
    "bart": Unread(
        ignored=ANY.ignored,
        neutral={key: value for key, value in ANY.neutral.items() if not key.startswith("is_encoder")},
    ).also(
        # Switches of the first code, which published files still have at BART's own values.
        "classif_dropout force_bos_token_to_be_generated",
        add_bias_logits=False,
        add_final_layer_norm=False,
        decoder_layerdrop=0.0,
        encoder_layerdrop=0.0,
        extra_pos_embeddings=2,
        normalize_before=False,
        normalize_embedding=True,
        static_position_embeddings=False,
    ),
    # The upcast is a matter of rounding in half precision, not another formula.
    "gpt2": _PAD.also(
        "n_ctx predict_special_tokens reorder_and_upcast_attn",
        scale_attn_weights=True,
        scale_attn_by_inverse_layer_idx=False,
    ),
    "modernbert": _PAD.also(
        """deterministic_flash_attn layer_norm_eps reference_compile repad_logits_with_grad sparse_pred_ignore_index
        sparse_prediction"""
    ),
}
"""What the reader of each family, by its model_type, may leave unread."""
