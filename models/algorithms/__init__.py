"""The methods: one small file each that states its difference from ERM, named in `registry`.

`base` says what a method may override; what several methods share is in `parts/`.
May enter: a method and nothing else; what two of them need goes to `parts/`.
"""
