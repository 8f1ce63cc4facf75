"""What can stop the demo, said so that the reader knows what to do."""

from cdp.kernel.errors import TributaryError


class DemoError(TributaryError):
    """The demo cannot go on."""

    code = "demo_failed"


class ServerUnreachableError(DemoError):
    """Nothing answers at the server's address."""

    code = "server_unreachable"


class RefusedError(DemoError):
    """The server answered, and said no for good."""

    code = "refused"
