"""Amazon Bedrock's Converse and InvokeModel APIs, agents, flows, knowledge bases, guardrails and ranking.

The registry imports it; InvokeModel reads the bodies of the providers behind it with their own modules.
"""
