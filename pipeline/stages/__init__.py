"""One thin file a verb: its help, its arguments, its settings, and `run(context, options)`.

A verb is here because it has a row in pipeline.verbs. Stages never import each other.
May enter: the order of a verb's steps. What two verbs need goes to a room below.
"""
