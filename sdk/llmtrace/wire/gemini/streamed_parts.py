"""The parts of a Gemini stream to those that the same answer has unstreamed."""

from __future__ import annotations

from typing import Any, Final

from llmtrace.wire import base64_pieces
from llmtrace.wire.format import Json, either, mapping

from . import partial_arguments

#: Sound without a header: pieces of it can be joined.
_RAW_SOUND: Final = ("audio/l16", "audio/pcm", "audio/x-raw")


def joined(parts: list[Json]) -> list[Json]:
    """Neighbouring texts as one, thoughts and words apart; calls and sound that come in pieces whole."""
    merged_parts: list[dict[str, Any]] = []
    pieces: list[list[str]] = []
    open_call: dict[str, Any] | None = None
    for part in map(mapping, parts):
        call = either(part, "functionCall", "function_call")
        if isinstance(call, dict):
            begun = open_call if open_call is not None and _continues(call, open_call) else None
            if begun is None and not any(call.values()):
                continue  # the mark of the end of a call whose beginning did not come
            if begun is None:
                begun = {"name": None, "args": {}}
                merged_parts.append({**part, "functionCall": begun})
                pieces.append([])
            _lengthen(begun, call)
            open_call = begun if either(call, "willContinue", "will_continue") is True else None
            continue
        if part.get("text") == "":
            continue
        piece = _piece(part)
        if piece is not None and merged_parts and pieces[-1] and _are_alike(merged_parts[-1], part):
            pieces[-1].append(piece)
        else:
            merged_parts.append(dict(part))
            pieces.append([] if piece is None else [piece])
    for merged_part, texts in zip(merged_parts, pieces, strict=True):
        if len(texts) > 1:
            _put_pieces(merged_part, texts)
    return merged_parts


def _continues(call: Any, begun: dict[str, Any]) -> bool:
    """Whether more of the call that is open: what follows has neither name nor id, or repeats them."""
    for key in ("id", "name"):
        if call.get(key) and begun.get(key) and call[key] != begun[key]:
            return False
    return not (call.get("args") and begun["args"])


def _lengthen(begun: dict[str, Any], call: Any) -> None:
    for key in ("id", "name"):
        if value := call.get(key):
            begun[key] = value
    begun["args"].update(mapping(call.get("args")))
    partial_arguments.add(begun["args"], either(call, "partialArgs", "partial_args"))


def _inline(part: Any) -> Any:
    return mapping(either(part, "inlineData", "inline_data"))


def _mime(part: Any) -> Json:
    return either(_inline(part), "mimeType", "mime_type")


def _piece(part: Any) -> str | None:
    """What can be lengthened of a part."""
    if "text" in part:
        return str(part["text"])
    mime, data = _mime(part), _inline(part).get("data")
    is_sound = isinstance(mime, str) and mime.lower().startswith(_RAW_SOUND)
    return data if is_sound and isinstance(data, str) else None


def _are_alike(merged_part: Any, part: Any) -> bool:
    if ("text" in merged_part) != ("text" in part):
        return False
    if "text" in part:
        return bool(part.get("thought")) == bool(merged_part.get("thought"))
    return bool(_mime(merged_part) == _mime(part))


def _put_pieces(merged_part: dict[str, Any], texts: list[str]) -> None:
    if "text" in merged_part:
        merged_part["text"] = "".join(texts)
    else:
        key = "inlineData" if "inlineData" in merged_part else "inline_data"
        merged_part[key] = {**merged_part[key], "data": base64_pieces.join(texts)}
