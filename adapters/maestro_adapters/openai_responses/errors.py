"""How the failures of the Responses API are worded, beside what it shares with Chat Completions."""

from dataclasses import replace

from maestro_adapters.openai_chat.errors import DIALECT as CHAT
from maestro_spi.errors import Reason

DIALECT = replace(
    CHAT,
    codes={
        **CHAT.codes,
        "invalid_prompt": Reason.PROMPT_BLOCKED,
        "bio_policy": Reason.PROMPT_BLOCKED,
        "misalignment_policy_violation": Reason.PROMPT_BLOCKED,
        "image_content_policy_violation": Reason.PROMPT_BLOCKED,
        "vector_store_timeout": Reason.PROVIDER_TIMEOUT,
        **dict.fromkeys(
            (
                "invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url", "image_too_large",
                "image_too_small", "image_parse_error", "invalid_image_mode", "image_file_too_large",
                "unsupported_image_media_type", "empty_image_file", "failed_to_download_image", "image_file_not_found",
                "data_residency_mismatch",
            ),
            Reason.PROVIDER_REJECTED_REQUEST,
        ),
    },
)  # fmt: skip
