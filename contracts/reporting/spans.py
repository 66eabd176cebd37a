"""Spans of OpenTelemetry: one trace for each job, from the request to its last command.

Off until it is started, and then nothing of OpenTelemetry is imported: a span costs a call. Names and attributes are
those of the semantic conventions for HTTP, messaging and processes. Secrets are masked before they come here.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from contracts.kinds import KINDS
from contracts.names import stream_of
from contracts.process.logs import log_masked, log_rarely
from contracts.process.settings import InvalidSettings

_provider: Any = None

Value = str | int | bool


class Span:
    """`traceparent` is what is carried on: the span's own, where they are off whatever came in."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: Any, traceparent: str | None) -> None:
        self._span = span
        self.traceparent = traceparent

    def note(self, name: str, value: Value | None) -> None:
        if self._span is not None and value is not None:
            self._span.set_attribute(name, value)

    def rename(self, name: str) -> None:
        if self._span is not None:
            self._span.update_name(name)

    def fail(self, reason: str) -> None:
        """`reason`: a code, never what a command said."""
        if self._span is not None:
            from opentelemetry.trace import StatusCode

            self._span.set_status(StatusCode.ERROR, reason)


def start(service: str) -> None:
    """Sends spans from now on to where OTEL_EXPORTER_OTLP_ENDPOINT leads, which the library reads itself.

    Raises InvalidSettings where the library is not installed.
    """
    global _provider  # one for the process, as the log is
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        # From a clone: no package index has this package, so whose would come by its name nobody knows.
        problem = "OTEL_EXPORTER_OTLP_ENDPOINT needs the extra otel: pip install '.[otel]' in a clone"
        raise InvalidSettings([problem]) from None
    log_masked("opentelemetry.util.re")  # it quotes OTEL_EXPORTER_OTLP_HEADERS where they cannot be read
    log_rarely("opentelemetry.exporter")  # it tells of a collector that is away every five seconds
    _provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))


def stop() -> None:
    """Sends what has not been sent, for some seconds at most."""
    global _provider
    if _provider is not None:
        _provider.shutdown()
        _provider = None


def is_on() -> bool:
    return _provider is not None


def span(
    name: str, kind: str = "internal", parent: str | None = None, attributes: Mapping[str, Value] | None = None
) -> AbstractContextManager[Span]:
    """A span below `parent`, a trace context of W3C; without one below the span that is under way here."""
    return nullcontext(Span(None, parent)) if _provider is None else _begin(name, kind, parent, attributes)


@contextmanager
def _begin(name: str, kind: str, parent: str | None, attributes: Mapping[str, Value] | None) -> Iterator[Span]:
    from opentelemetry.trace import SpanKind

    tracer = _provider.get_tracer("everest-bootstrap")
    context = _read_context(parent) if parent else None
    with tracer.start_as_current_span(
        name,
        context=context,
        kind=SpanKind[kind.upper()],
        attributes=attributes,
        record_exception=False,  # its text may hold what nobody has looked through
        set_status_on_exception=False,
    ) as current:
        yield Span(current, _write_context(current))


def message_span(operation: str, kind: str, job_id: str, parent: str | None) -> AbstractContextManager[Span]:
    """The span of a job's message, as the conventions for messaging have it; `operation` is send or process."""
    if _provider is None:
        return nullcontext(Span(None, parent))
    about: dict[str, Value] = {
        "messaging.system": "nats",
        "messaging.destination.name": stream_of(kind),
        "messaging.destination.template": f"{KINDS[kind].subject}.{{job_id}}",
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.message.id": job_id,
    }
    name = f"{operation} {KINDS[kind].subject}"
    return _begin(name, "producer" if operation == "send" else "consumer", parent, about)


def _read_context(traceparent: str) -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent})


def _write_context(span: Any) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
