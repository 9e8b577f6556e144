"""The APIs of OpenAI and of what speaks like them: chat, completions, responses, images, assistants.

Other providers' modules may import their parts; the registry imports the formats.
"""
