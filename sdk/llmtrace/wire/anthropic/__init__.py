"""Anthropic's Messages API, whole and streamed, also as Bedrock passes it on.

Bedrock's modules and the registry import it.
"""
