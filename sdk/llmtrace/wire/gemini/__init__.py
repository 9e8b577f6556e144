"""Google's Gemini and Vertex APIs: generateContent, embeddings, interactions.

The registry imports it.
"""
