"""The report's sections in the order of `registry`: a template each, and a file of the same name for most.

A panel gets what was gathered, and gives what its template fills in besides.
May enter: a new section. Nobody but the registry names one.
"""
