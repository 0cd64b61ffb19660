"""The page of error codes, made from the error classes themselves."""

from __future__ import annotations

from html import escape

from api_gateway.errors import CODES, GatewayError
from mof_benchmark.errors import MofsimError

_GROUPS = {
    1: ("System", "系统错误"),
    2: ("Authentication", "认证错误"),
    3: ("Resources", "资源错误"),
    4: ("Requests", "请求错误"),
    5: ("Tasks", "任务错误"),
}
_HTTP_TASK_CODES = {50003, 50004}
"""The other codes of tasks are found in a task's `error`, never as the answer to a request."""
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin-bottom: 2rem }
th, td { text-align: left; padding: .35rem .75rem; border-bottom: 1px solid #ddd; vertical-align: top }
code { font-size: .9em }
"""
_INTRODUCTION = """<h1>Error codes · 错误码</h1>
<p>Every failed request is answered with <code>{"success": false, "code", "message", "error": {"type",
"detail", "field"}, "timestamp", "request_id"}</code>. <code>message</code> follows
<code>Accept-Language</code>; <code>detail</code> says what was wrong with this very request.
A task that failed carries its own <code>error</code> in <code>GET /api/v1/tasks/{task_id}</code>.</p>
<p lang="zh">所有失败的请求均返回上述统一格式。<code>message</code> 的语言由 <code>Accept-Language</code>
决定；<code>detail</code> 说明本次请求的具体问题。任务自身的失败原因见
<code>GET /api/v1/tasks/{task_id}</code> 的 <code>error</code> 字段。</p>
"""


def table() -> str:
    """The body of the page: one table for each thousand of codes."""
    parts = [_INTRODUCTION]
    for group, (english, chinese) in _GROUPS.items():
        rows = "".join(_row(kind) for code, kind in CODES.items() if code // 10_000 == group)
        parts.append(
            f"<h2>{group}xxxx · {english} · {chinese}</h2>\n<table>\n"
            "<tr><th>Code<th>HTTP<th>Message<th>信息<th>Type<th>Try again after</tr>\n"
            f"{rows}</table>\n"
        )
    return "".join(parts)


def _row(kind: type[MofsimError]) -> str:
    in_task = kind.code >= 50_000 and kind.code not in _HTTP_TASK_CODES
    wait = kind.retry_after_seconds if issubclass(kind, GatewayError) else None
    cells = (
        f"<code>{kind.code}</code>",
        "in the task" if in_task else str(kind.status),
        escape(kind.message_en),
        f'<span lang="zh">{escape(kind.message_zh)}</span>',
        f"<code>{kind.__name__}</code>",
        "" if wait is None else f"{wait} s",
    )
    return f'<tr id="{kind.code}"><td>' + "<td>".join(cells) + "</tr>\n"
