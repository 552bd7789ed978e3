"""The report's sections: one file each with a template of the same name, in the order of `registry`.

A panel gets what was gathered, and gives what its template fills in.
May enter: a new section. Nobody but the registry names one.
"""
