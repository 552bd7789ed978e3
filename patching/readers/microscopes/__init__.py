"""What microscopes write: CZI, LIF, ND2, OIB and OIF.

`slide` is the reader of all of them; each format has a file, which tells its images and reads their frames.
May enter: a format of images in one file. What only it needs of other packages is the extra `microscopes`.
"""
