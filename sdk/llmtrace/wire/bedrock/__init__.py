"""Amazon Bedrock's Converse and InvokeModel APIs.

The registry imports it; InvokeModel reads the bodies of the providers behind it with their own modules.
"""
