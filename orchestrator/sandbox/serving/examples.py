"""The example pages of the documentation, for browsers: `/examples/chat.html`."""

from pathlib import Path
from typing import Final

from orchestrator.sandbox.data_files import data_folder
from orchestrator.sandbox.serving.http_server import Request, SandboxReply
from orchestrator.sandbox.serving.routing import SandboxRefusal

CHAT_PAGE: Final = "examples/chat.html"
"""The path of the page that chats with an agent; `#api=` behind it names the service."""
_HEADERS: Final = (("cache-control", "no-store"), ("x-content-type-options", "nosniff"))


def example_page(request: Request) -> SandboxReply:
    """Answer with a page.

    Raises:
        SandboxRefusal: there is no such page, or the method is not GET.
    """
    folder: Path = data_folder("docs") / "examples"
    pages: dict[tuple[str, ...], Path] = {("examples", path.name): path for path in folder.glob("*.html")}
    page = pages.get(request.segments) if request.method == "GET" else None
    if page is None:
        raise SandboxRefusal(404, "SANDBOX_NOTF_001", f"There is no such page; there is {CHAT_PAGE}.")
    return SandboxReply(200, page.read_bytes(), "text/html; charset=utf-8", _HEADERS)
