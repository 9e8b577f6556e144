"""Random queries, some with odd characters: does the guard know what the engine reads?"""
