"""The phantom: simulated CARS/TPEF/SHG slides with tumor outlines.

    layout -> anatomy -> optics -> writer, for each slide of a cohort

May enter: what makes a slide look as it does. Stages and settings' files stay outside.
Every random number comes from the seed, the patient and the slide; nothing depends on the order of work.
Arithmetic is float64 and drawing is fixed-point, so that the bytes do not depend on the processor either.
"""
