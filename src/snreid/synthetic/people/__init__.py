"""Rendered people: clothed adults from a free body model, as surveillance cameras see them.

Person (``identity``), place (``site``), camera (``camera``) and instant (``moment``) are independent values;
``render.Picture`` holds one of each and draws. No restrictive licence applies and no real person is shown: the bodies are
MakeHuman's (CC0), the clothes, places and cameras are this program's. Needs the extra ``snreid[people]``.

Importing this package is cheap; numba is imported, and its loops compiled once, when the first picture is drawn.
"""
