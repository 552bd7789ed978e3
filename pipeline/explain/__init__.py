"""Which test patches are shown, and what runs the network or reads slides for them: pictures, maps, outlines.

`handover` is what the stage writes and the report reads.
May enter: what has to look at pixels or weights before the report can show it.
"""
