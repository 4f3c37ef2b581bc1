"""People of our own: clothed adults from a free body model, rendered as cameras see them.

Who (``identity``), where (``site``), through what (``camera``) and when (``moment``) are values that can be turned one by
one; ``render.Picture`` holds one of each and draws. Free of any licence that binds and of any real person: the bodies are
MakeHuman's (CC0), the clothes, places and cameras are this program's. Needs the extra ``snreid[people]``.

Importing this package is cheap; numba is imported, and its loops compiled once, when the first picture is drawn.
"""
