"""The intervention: test patches with tissue replaced or added, and what models then say.

`sample` chooses patches and donors, `feeding` makes the pixels, `answers` predicts, `figures` tells slopes.
May enter: what the intervene stage writes. Charts and words are the report's.
"""
