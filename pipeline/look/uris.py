"""Pictures that lie in the page itself."""

import base64

from markupsafe import Markup


def data_uri(kind: str, content: bytes) -> Markup:
    """The bytes of a picture as a data URI.

    >>> data_uri("png", b"abc")
    Markup('data:image/png;base64,YWJj')
    """
    return Markup(f"data:image/{kind};base64,{base64.b64encode(content).decode()}")  # noqa: S704
